import { useApi } from '@backstage/frontend-plugin-api';
import { Container, Text } from '@backstage/ui';
import { useCallback, useMemo, useState } from 'react';

import type { GridPermission } from '../answers.js';
import { stagedoorApiRef } from '../api.js';
import { Answered, Failure } from '../components/Answered.js';
import { CellDialog } from '../components/CellDialog.js';
import { MatrixControls } from '../components/MatrixControls.js';
import { MatrixTable } from '../components/MatrixTable.js';
import { OwnAccess } from '../components/OwnAccess.js';
import { EVERYTHING, shown } from '../matrix.js';
import type { Row, View } from '../matrix.js';
import { useAnswer } from '../useAnswer.js';
import { useMatrix } from '../useMatrix.js';
import '../styles.css';

/** Who may do what: groups and permissions; one's own for those who may not see others'. */
export function AccessPage() {
  const api = useApi(stagedoorApiRef);
  const me = useAnswer('me', () => api.me());
  return (
    <Container className="stagedoor-page">
      <Answered asked={me}>
        {({ readsOthers, user }) =>
          readsOthers ? <AccessGrid /> : <OwnAccess user={user} />
        }
      </Answered>
    </Container>
  );
}

function AccessGrid() {
  const { matrix, isComplete, error } = useMatrix(true);
  const [view, setView] = useState<View>(EVERYTHING);
  const [opened, setOpened] = useState<{
    row: Row;
    permission: GridPermission;
  }>();
  const { columns, rows } = useMemo(
    () => (matrix ? shown(matrix, view) : { columns: [], rows: [] }),
    [matrix, view],
  );
  const open = useCallback(
    (row: Row, permission: GridPermission) => setOpened({ row, permission }),
    [],
  );
  const groups = rows.reduce((sum, row) => sum + row.groups.length, 0);
  return (
    <>
      {error && <Failure error={error} />}
      {!matrix && !error && <div role="status">Reading the groups…</div>}
      {matrix && (
        <>
          <MatrixControls
            permissions={matrix.permissions}
            view={view}
            onChange={setView}
          />
          <Text as="p" role="status" data-testid="count">
            {`${groups} of ${matrix.total} groups in ${rows.length} rows, ` +
              `${columns.length} of ${matrix.permissions.length} permissions`}
            {!isComplete && !error && '; reading the others…'}
          </Text>
          <MatrixTable
            columns={columns}
            rows={rows}
            order={view.order}
            onOrder={order => setView({ ...view, order })}
            onOpen={open}
          />
          <p className="stagedoor-quiet">
            ✓ allowed, ◐ allowed for some, · denied: for somebody who is in the
            group, in those above it, and in no other. Revision{' '}
            <code>{matrix.revision.slice(0, 12)}</code>.
          </p>
        </>
      )}
      {opened && (
        <CellDialog
          row={opened.row}
          permission={opened.permission}
          onClose={() => setOpened(undefined)}
        />
      )}
    </>
  );
}
