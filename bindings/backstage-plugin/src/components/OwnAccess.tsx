import { useApi, useRouteRef } from '@backstage/frontend-plugin-api';
import { Link, SearchField, Text } from '@backstage/ui';
import { useState } from 'react';

import { stagedoorApiRef } from '../api.js';
import { whyRouteRef } from '../routes.js';
import { useAnswer } from '../useAnswer.js';
import { Answered } from './Answered.js';
import { ResultBadge } from './ResultBadge.js';

/** What whoever looks at it may do. */
export function OwnAccess({ user }: { user: string }) {
  const api = useApi(stagedoorApiRef);
  const why = useRouteRef(whyRouteRef);
  const access = useAnswer('own', () => api.access());
  const [part, setPart] = useState('');
  return (
    <>
      <Text as="h2" variant="title-small">
        What you may do
      </Text>
      <Text as="p">
        {`You are ${user}. To see what others may do takes the permission stagedoor.access.read.`}
      </Text>
      <SearchField
        label="Permissions"
        placeholder="a part of the name"
        value={part}
        onChange={setPart}
      />
      <Answered asked={access}>
        {({ permissions }) => (
          <div className="stagedoor-scroll">
            <table className="stagedoor-table" aria-label="Your permissions">
              <thead>
                <tr>
                  <th scope="col">Permission</th>
                  <th scope="col">Result</th>
                  <th scope="col">On which</th>
                  <th scope="col">
                    <span className="stagedoor-hidden">Explanation</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {permissions
                  .filter(({ permission }) => permission.includes(part.trim()))
                  .map(({ permission, result, words }) => (
                    <tr key={permission} data-permission={permission}>
                      <th scope="row">{permission}</th>
                      <td data-result={result}>
                        <ResultBadge result={result} />
                      </td>
                      <td>{words && `where ${words}`}</td>
                      <td>
                        {why && (
                          <Link
                            href={`${why()}?permission=${encodeURIComponent(permission)}`}
                            aria-label={`Why, ${permission}`}
                          >
                            Why?
                          </Link>
                        )}
                      </td>
                    </tr>
                  ))}
              </tbody>
            </table>
          </div>
        )}
      </Answered>
    </>
  );
}
