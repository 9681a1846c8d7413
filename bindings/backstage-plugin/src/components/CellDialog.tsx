import {
  Dialog,
  DialogBody,
  DialogHeader,
  Link,
  Select,
  Text,
} from '@backstage/ui';
import { useApi, useRouteRef } from '@backstage/frontend-plugin-api';
import { useState } from 'react';

import type { GridPermission, Reach } from '../answers.js';
import { stagedoorApiRef } from '../api.js';
import type { Row } from '../matrix.js';
import { whoCanRouteRef, whyRouteRef } from '../routes.js';
import { useAnswer } from '../useAnswer.js';
import { Answered } from './Answered.js';
import { PolicyList } from './PolicyList.js';
import { ProblemList } from './ProblemList.js';
import { ReachTable } from './ReachTable.js';
import { ResultBadge } from './ResultBadge.js';

/** The kinds of resources whose entities can be counted. */
const COUNTED = ['catalog-entity', 'scaffolder-template'];

/** One answer of the grid: why, on which entities, and where to go on. */
export function CellDialog({
  row,
  permission,
  onClose,
}: {
  row: Row;
  permission: GridPermission;
  onClose: () => void;
}) {
  const [group, setGroup] = useState(row.groups[0] ?? '');
  return (
    <Dialog
      isOpen
      onOpenChange={isOpen => {
        if (!isOpen) onClose();
      }}
      width={720}
    >
      <DialogHeader>{permission.name}</DialogHeader>
      <DialogBody>
        {row.groups.length > 1 ? (
          <Select
            label={`One of ${row.groups.length} groups with these rights`}
            options={row.groups.map(each => ({ id: each, label: each }))}
            selectedKey={group}
            onSelectionChange={key => setGroup(String(key))}
          />
        ) : (
          <Text as="p">{group}</Text>
        )}
        <CellDetails group={group} permission={permission} />
      </DialogBody>
    </Dialog>
  );
}

function CellDetails({
  group,
  permission: { name, resourceType },
}: {
  group: string;
  permission: GridPermission;
}) {
  const api = useApi(stagedoorApiRef);
  const why = useRouteRef(whyRouteRef);
  const whoCan = useRouteRef(whoCanRouteRef);
  const question = { group, permission: name };
  const key = JSON.stringify(question);
  const access = useAnswer(key, () => api.access(question));
  const isCounted = resourceType !== null && COUNTED.includes(resourceType);
  const reach = useAnswer<Reach>(isCounted ? key : undefined, () =>
    api.reach(question),
  );
  const query = `permission=${encodeURIComponent(name)}`;
  return (
    <>
      <Answered asked={access}>
        {({ permissions: [entry] }) =>
          entry && (
            <>
              <p>
                <ResultBadge result={entry.result} />{' '}
                {entry.words && `where ${entry.words}`}
              </p>
              {entry.policies.length > 0 ? (
                <PolicyList policies={entry.policies} label="Policies" />
              ) : (
                <p>No policy permits it.</p>
              )}
              <ProblemList problems={entry.findings} />
            </>
          )
        }
      </Answered>
      <Answered asked={reach}>{found => <ReachTable reach={found} />}</Answered>
      <p>
        {why && (
          <Link href={`${why()}?${query}&group=${encodeURIComponent(group)}`}>
            Why?
          </Link>
        )}
        {' · '}
        {whoCan && <Link href={`${whoCan()}?${query}`}>Who can?</Link>}
      </p>
    </>
  );
}
