import { memo, useCallback, useEffect, useRef, useState } from 'react';
import type { KeyboardEvent, UIEvent } from 'react';

import type { GridPermission } from '../answers.js';
import { said } from '../matrix.js';
import type { Cell, Row, View } from '../matrix.js';

/**
 * As `--stagedoor-row` of the style sheet, the height and the width of a cell: what is outside of what
 * is seen is not rendered.
 */
const ROW = 36;
/** So many columns are rendered whether they are seen or not. */
const COLUMNS = 64;
/** So many rows beside those that are seen are rendered. */
const BESIDE = 12;
/** So many are seen before the page knows its size. */
const SEEN = 40;
/** So many columns are passed before others are rendered. */
const STEP = 6;
/** So many rows PageUp and PageDown go. */
const PAGE = 10;

const SIGNS: Record<Cell['result'], string> = {
  ALLOW: '✓',
  DENY: '·',
  CONDITIONAL: '◐',
};

export interface MatrixTableProps {
  columns: readonly GridPermission[];
  rows: readonly Row[];
  order: View['order'];
  onOrder: (order: View['order']) => void;
  onOpen: (row: Row, column: GridPermission) => void;
}

/** Where the keyboard is; above the first row are the names of the permissions. */
interface Position {
  row: number;
  column: number;
}

const NAMES = -1;

/**
 * Groups and permissions as a grid. By keyboard it is one stop: arrows go from cell to cell, Enter
 * opens one. Of many rows and columns those that are seen are rendered.
 */
export function MatrixTable(props: MatrixTableProps) {
  const { columns, rows, order, onOrder, onOpen } = props;
  const [at, setAt] = useState<Position>({ row: 0, column: 0 });
  const [top, setTop] = useState(0);
  const [left, setLeft] = useState(0);
  const [seen, setSeen] = useState(SEEN);
  const [seenColumns, setSeenColumns] = useState(SEEN);
  const area = useRef<HTMLDivElement>(null);
  const wantsFocus = useRef(false);

  const current: Position = {
    row: Math.min(at.row, rows.length - 1),
    column: Math.min(at.column, columns.length - 1),
  };
  const first = Math.max(0, Math.floor(top / ROW) - BESIDE);
  const last = Math.min(rows.length, first + seen + 2 * BESIDE);

  const isWide = columns.length > COLUMNS;
  const firstColumn = isWide
    ? Math.max(0, Math.min(Math.floor(left / ROW), columns.length) - BESIDE)
    : 0;
  const lastColumn = isWide
    ? Math.min(columns.length, firstColumn + seenColumns + 2 * BESIDE)
    : columns.length;

  const onScroll = useCallback((event: UIEvent<HTMLDivElement>) => {
    const { scrollTop, scrollLeft, clientHeight, clientWidth } =
      event.currentTarget;
    setTop(scrollTop);
    // A step at a time: nothing is rendered anew for less.
    setLeft(Math.floor(scrollLeft / (ROW * STEP)) * ROW * STEP);
    setSeen(Math.max(SEEN, Math.ceil(clientHeight / ROW)));
    setSeenColumns(Math.max(SEEN, Math.ceil(clientWidth / ROW)));
  }, []);

  // The cell may have to be rendered first.
  useEffect(() => {
    if (!wantsFocus.current) return;
    const cell = area.current?.querySelector<HTMLElement>('[tabindex="0"]');
    if (cell) {
      wantsFocus.current = false;
      cell.focus({ preventScroll: true });
      cell.scrollIntoView?.({ block: 'nearest', inline: 'nearest' });
    }
  });

  const goTo = ({ row, column }: Position) => {
    const position = {
      row: Math.max(NAMES, Math.min(rows.length - 1, row)),
      column: Math.max(0, Math.min(columns.length - 1, column)),
    };
    wantsFocus.current = true;
    setAt(position);
    const { current: element } = area;
    const isRendered = position.row >= first && position.row < last;
    if (element && position.row !== NAMES && !isRendered) {
      element.scrollTop = position.row * ROW;
      setTop(position.row * ROW);
    }
    const isColumnRendered =
      position.column >= firstColumn && position.column < lastColumn;
    if (element && !isColumnRendered) {
      element.scrollLeft = position.column * ROW;
      setLeft(position.column * ROW);
    }
  };

  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const { row, column } = current;
    const whole = event.ctrlKey || event.metaKey;
    const moves: Record<string, Position> = {
      ArrowUp: { row: row - 1, column },
      ArrowDown: { row: row + 1, column },
      ArrowLeft: { row, column: column - 1 },
      ArrowRight: { row, column: column + 1 },
      PageUp: { row: Math.max(0, row - PAGE), column },
      PageDown: { row: row + PAGE, column },
      Home: { row: whole ? 0 : row, column: 0 },
      End: {
        row: whole ? rows.length - 1 : row,
        column: columns.length - 1,
      },
    };
    const to = moves[event.key];
    if (!to) return;
    event.preventDefault();
    goTo(to);
  };

  const told = rows[current.row];
  const column = columns[current.column];
  const cell = told?.cells[current.column];
  return (
    <>
      <div className="stagedoor-matrix" ref={area} onScroll={onScroll}>
        <table
          role="grid"
          aria-label="Groups and permissions"
          aria-rowcount={rows.length + 1}
          aria-colcount={columns.length + 1}
          aria-readonly="true"
          onKeyDown={onKeyDown}
        >
          <thead>
            <tr aria-rowindex={1}>
              <th scope="col" className="stagedoor-corner">
                Group
              </th>
              <Spacer columns={firstColumn} />
              {columns.slice(firstColumn, lastColumn).map(({ name }, place) => {
                const index = firstColumn + place;
                const isAt = current.row === NAMES && index === current.column;
                const by = `permission:${name}` as const;
                return (
                  <th
                    key={name}
                    scope="col"
                    aria-colindex={index + 2}
                    aria-sort={order === by ? 'descending' : 'none'}
                  >
                    <button
                      type="button"
                      tabIndex={isAt ? 0 : -1}
                      title={`Sort by ${name}`}
                      onFocus={() => setAt({ row: NAMES, column: index })}
                      onClick={() => onOrder(order === by ? 'name' : by)}
                    >
                      <span>{name}</span>
                    </button>
                  </th>
                );
              })}
              <Spacer columns={columns.length - lastColumn} />
            </tr>
          </thead>
          <tbody>
            {first > 0 && (
              <tr aria-hidden="true" style={{ height: first * ROW }} />
            )}
            {rows.slice(first, last).map((row, offset) => (
              <MatrixRow
                key={row.groups[0]}
                row={row}
                number={first + offset}
                columns={columns}
                firstColumn={firstColumn}
                lastColumn={lastColumn}
                column={
                  first + offset === current.row ? current.column : undefined
                }
                onFocus={setAt}
                onOpen={onOpen}
              />
            ))}
            {last < rows.length && (
              <tr
                aria-hidden="true"
                style={{ height: (rows.length - last) * ROW }}
              />
            )}
          </tbody>
        </table>
      </div>
      <p className="stagedoor-told" data-testid="told">
        {columns.length > 0 && rows.length > 0
          ? told && column && cell
            ? `${nameOf(told)}, ${column.name}: ${said(cell)}`
            : `Enter sorts by ${column?.name ?? 'it'}.`
          : 'Nothing is left to show.'}
      </p>
    </>
  );
}

/** Names the groups of a row in few words. */
export function nameOf({ groups }: Row): string {
  const [group = '', ...others] = groups;
  return others.length ? `${group} and ${others.length} more` : group;
}

/** Stands for columns that are not rendered. */
function Spacer({ columns }: { columns: number }) {
  if (columns <= 0) return null;
  return <td aria-hidden="true" style={{ minWidth: columns * ROW }} />;
}

/** Rendered again for what concerns it alone: there are thousands of cells. */
const MatrixRow = memo(function MatrixRow({
  row,
  number,
  columns,
  firstColumn,
  lastColumn,
  column,
  onFocus,
  onOpen,
}: {
  row: Row;
  number: number;
  columns: readonly GridPermission[];
  firstColumn: number;
  lastColumn: number;
  /** The column that the keyboard is at, if it is in this row. */
  column: number | undefined;
  onFocus: (position: Position) => void;
  onOpen: (row: Row, column: GridPermission) => void;
}) {
  const name = nameOf(row);
  return (
    <tr aria-rowindex={number + 2} data-groups={row.groups.join(' ')}>
      <th scope="row" title={row.groups.join('\n')}>
        {name}
      </th>
      <Spacer columns={firstColumn} />
      {columns.slice(firstColumn, lastColumn).map((permission, place) => {
        const index = firstColumn + place;
        const cell = row.cells[index] ?? { result: 'DENY', words: null };
        return (
          <td key={permission.name} aria-colindex={index + 2}>
            <button
              type="button"
              tabIndex={index === column ? 0 : -1}
              data-result={cell.result}
              data-permission={permission.name}
              aria-label={`${name}, ${permission.name}: ${said(cell)}`}
              title={said(cell)}
              onFocus={() => onFocus({ row: number, column: index })}
              onClick={() => onOpen(row, permission)}
            >
              {SIGNS[cell.result]}
            </button>
          </td>
        );
      })}
      <Spacer columns={columns.length - lastColumn} />
    </tr>
  );
});
