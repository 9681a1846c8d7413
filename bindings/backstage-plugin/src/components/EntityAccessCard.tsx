import { stringifyEntityRef } from '@backstage/catalog-model';
import type { Entity } from '@backstage/catalog-model';
import { useApi, useRouteRef } from '@backstage/frontend-plugin-api';
import { useEntity } from '@backstage/plugin-catalog-react';
import { Card, CardBody, CardHeader, Link } from '@backstage/ui';

import { stagedoorApiRef } from '../api.js';
import { whoCanRouteRef, whyRouteRef } from '../routes.js';
import { useAnswer } from '../useAnswer.js';
import { Answered } from './Answered.js';
import { ResultBadge } from './ResultBadge.js';
import '../styles.css';

/** What whoever looks at an entity may do with it, why, and who else may. */
export function EntityAccessCard() {
  const { entity } = useEntity();
  return <AccessCard entity={entity} />;
}

export function AccessCard({ entity }: { entity: Entity }) {
  const api = useApi(stagedoorApiRef);
  const why = useRouteRef(whyRouteRef);
  const whoCan = useRouteRef(whoCanRouteRef);
  const reference = stringifyEntityRef(entity);
  const me = useAnswer('me', () => api.me());
  const rights = useAnswer(reference, () => api.rights({ entity: reference }));
  const readsOthers = me.state === 'answered' && me.answer.readsOthers;
  return (
    <Card>
      <CardHeader>
        <h3 className="stagedoor-title">What you may do with it</h3>
      </CardHeader>
      <CardBody>
        <Answered asked={rights}>
          {({ permissions }) => (
            <ul className="stagedoor-rights" aria-label="Your rights">
              {permissions.map(({ permission, result }) => {
                const query = new URLSearchParams({
                  permission,
                  entity: reference,
                }).toString();
                return (
                  <li
                    key={permission}
                    data-permission={permission}
                    data-result={result}
                  >
                    <span>{permission}</span>
                    <ResultBadge result={result} />
                    <span>
                      {why && (
                        <Link
                          href={`${why()}?${query}`}
                          aria-label={`Why, ${permission}`}
                        >
                          {result === 'DENY' ? 'Why not?' : 'Why?'}
                        </Link>
                      )}
                      {readsOthers && whoCan && (
                        <>
                          {' · '}
                          <Link
                            href={`${whoCan()}?${query}`}
                            aria-label={`Who can, ${permission}`}
                          >
                            Who can?
                          </Link>
                        </>
                      )}
                    </span>
                  </li>
                );
              })}
            </ul>
          )}
        </Answered>
      </CardBody>
    </Card>
  );
}
