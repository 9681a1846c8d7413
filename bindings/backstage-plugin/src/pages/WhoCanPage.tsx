import {
  useApi,
  useAppSearchParams,
  useRouteRef,
} from '@backstage/frontend-plugin-api';
import { Container, Flex, Link, SearchField, Text } from '@backstage/ui';
import { useState } from 'react';

import type { Holders } from '../answers.js';
import { stagedoorApiRef } from '../api.js';
import { Answered } from '../components/Answered.js';
import { PermissionField } from '../components/PermissionField.js';
import { ReferenceField } from '../components/ReferenceField.js';
import { ResultBadge } from '../components/ResultBadge.js';
import { whyRouteRef } from '../routes.js';
import { useAnswer } from '../useAnswer.js';
import '../styles.css';

/** So many users are shown at a time. */
const SHOWN = 100;

/** Who has a permission, on an entity or at all. What is asked stands in the page's address. */
export function WhoCanPage() {
  const api = useApi(stagedoorApiRef);
  const [params, setParams] = useAppSearchParams();
  const permissions = useAnswer('permissions', () => api.access());
  const question = {
    permission: params.get('permission') ?? '',
    entity: params.get('entity') ?? '',
  };
  const set = (changes: Partial<typeof question>) => {
    const next = Object.entries({ ...question, ...changes });
    setParams(Object.fromEntries(next.filter(([, value]) => value)));
  };
  const holders = useAnswer<Holders>(
    question.permission ? JSON.stringify(question) : undefined,
    () => api.whoCan(question),
  );
  const known =
    permissions.state === 'answered'
      ? permissions.answer.permissions.map(({ permission }) => permission)
      : [];
  return (
    <Container className="stagedoor-page">
      <Flex gap="3" align="start" className="stagedoor-controls">
        <PermissionField
          permissions={known}
          value={question.permission}
          onChange={permission => set({ permission })}
        />
        <ReferenceField
          label="Entity"
          placeholder="whichever, or component:default/name"
          value={question.entity}
          onChange={entity => set({ entity })}
        />
      </Flex>
      <Answered asked={holders}>
        {found => <HolderList holders={found} />}
      </Answered>
      {!question.permission && <p>Choose a permission.</p>}
    </Container>
  );
}

function HolderList({ holders }: { holders: Holders }) {
  const { permission, entity, users, asked, notAsked } = holders;
  const why = useRouteRef(whyRouteRef);
  const [part, setPart] = useState('');
  const [count, setCount] = useState(SHOWN);
  const found = users.filter(({ user }) => user.includes(part.trim()));
  return (
    <>
      <Text as="p" role="status" data-testid="count">
        {`${users.length} of ${asked} users ${entity ? `on ${entity}` : ''}`}
        {notAsked > 0 && `; ${notAsked} more users were not asked for`}
      </Text>
      <SearchField
        label="Users"
        placeholder="a part of the name"
        value={part}
        onChange={setPart}
      />
      <div className="stagedoor-scroll">
        <table className="stagedoor-table" aria-label="Users">
          <thead>
            <tr>
              <th scope="col">User</th>
              <th scope="col">Result</th>
              <th scope="col">On which</th>
              <th scope="col">Policies</th>
            </tr>
          </thead>
          <tbody>
            {found.slice(0, count).map(({ user, result, words, policies }) => (
              <tr key={user} data-user={user}>
                <th scope="row">
                  {why ? (
                    <Link
                      href={`${why()}?${new URLSearchParams({
                        user,
                        permission,
                        ...(entity && { entity }),
                      }).toString()}`}
                    >
                      {user}
                    </Link>
                  ) : (
                    user
                  )}
                </th>
                <td>
                  <ResultBadge result={result} />
                </td>
                <td>{words && `where ${words}`}</td>
                <td>{policies.join(', ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {found.length > count && (
        <button type="button" onClick={() => setCount(count + SHOWN)}>
          {`Show ${Math.min(SHOWN, found.length - count)} more`}
        </button>
      )}
    </>
  );
}
