import type { Grid, GridPermission, Result } from './answers.js';

/** One answer of the grid. */
export interface Cell {
  result: Result;
  /** On which resources, in words. */
  words: string | null;
}

/** Groups with the same rights. */
export interface Row {
  groups: string[];
  cells: Cell[];
}

/** All of the grid, as far as it was read. */
export interface Matrix {
  revision: string;
  permissions: GridPermission[];
  rows: Row[];
  /** How many groups there are, read or not. */
  total: number;
}

/** What of a grid is shown. */
export interface View {
  /** Groups whose reference has this text. */
  group: string;
  /** Permissions whose name has this text. */
  permission: string;
  /** Permissions of this plugin. */
  plugin: string;
  /** Permissions with this action. */
  action: string;
  /** Leaves out permissions that no group has that is shown. */
  granted: boolean;
  /** Makes one row of groups with the same rights. */
  merged: boolean;
  /** Puts first: the names, those with the most rights, or those who have a permission. */
  order: 'name' | 'rights' | `permission:${string}`;
}

export const EVERYTHING: View = {
  group: '',
  permission: '',
  plugin: '',
  action: '',
  granted: false,
  merged: true,
  order: 'name',
};

const RESULTS: Record<string, Result> = {
  A: 'ALLOW',
  C: 'CONDITIONAL',
  D: 'DENY',
};

/** Puts the parts of a grid together. Throws if they are of different policies. */
export function matrixOf(parts: readonly Grid[]): Matrix {
  const [first] = parts;
  if (!first) return { revision: '', permissions: [], rows: [], total: 0 };
  const rows = parts.flatMap(part => {
    if (part.revision !== first.revision) {
      throw new Error(
        'the policies have changed meanwhile: read the grid again',
      );
    }
    return part.groups.map(({ group, results, conditions }) => {
      let met = 0;
      const cells = [...results].map((letter): Cell => {
        // Whatever is not known is denied.
        const result = RESULTS[letter] ?? 'DENY';
        if (result !== 'CONDITIONAL') return { result, words: null };
        const number = conditions[met++];
        const words =
          number === undefined ? undefined : part.conditions[number];
        return { result, words: words ?? 'some' };
      });
      return { groups: [group], cells };
    });
  });
  const { revision, permissions, total } = first;
  return { revision, permissions, rows, total };
}

const WEIGHT: Record<Result, number> = { ALLOW: 2, CONDITIONAL: 1, DENY: 0 };

/** Returns what is shown of a grid: its columns, and rows with the cells of these. */
export function shown(
  { permissions, rows }: Matrix,
  view: View,
): { columns: GridPermission[]; rows: Row[] } {
  const has = (text: string, part: string) =>
    text.toLowerCase().includes(part.trim().toLowerCase());
  const found = rows.filter(row => has(row.groups.join(' '), view.group));
  const columns = permissions
    .map((permission, index) => ({ permission, index }))
    .filter(
      ({ permission: { name, plugin, action }, index }) =>
        has(name, view.permission) &&
        (!view.plugin || plugin === view.plugin) &&
        (!view.action || (action ?? 'none') === view.action) &&
        (!view.granted ||
          found.some(({ cells }) => cells[index]?.result !== 'DENY')),
    );
  const left = found.map(({ groups, cells }) => ({
    groups,
    cells: columns.flatMap(({ index }) => cells[index] ?? []),
  }));
  const sorted = left.sort(
    order(
      view.order,
      columns.map(({ permission }) => permission.name),
    ),
  );
  return {
    columns: columns.map(({ permission }) => permission),
    rows: view.merged ? merged(sorted) : sorted,
  };
}

function order(
  by: View['order'],
  columns: readonly string[],
): (one: Row, other: Row) => number {
  const weight = ({ cells }: Row) => {
    if (by === 'rights') {
      return cells.reduce((sum, { result }) => sum + WEIGHT[result], 0);
    }
    const cell = cells[columns.indexOf(by.slice('permission:'.length))];
    return cell ? WEIGHT[cell.result] : 0;
  };
  const name = ({ groups }: Row) => groups[0] ?? '';
  return (one, other) =>
    (by === 'name' ? 0 : weight(other) - weight(one)) ||
    name(one).localeCompare(name(other));
}

/** Makes one row of rows whose cells are equal, in the place of the first. */
function merged(rows: readonly Row[]): Row[] {
  const alike = new Map<string, Row>();
  for (const { groups, cells } of rows) {
    const key = JSON.stringify(cells);
    const known = alike.get(key);
    if (known) known.groups.push(...groups);
    else alike.set(key, { groups: [...groups], cells });
  }
  return [...alike.values()];
}

/** Says a result in words: `where owned by the group`. */
export function said({ result, words }: Cell): string {
  if (result === 'ALLOW') return 'allowed';
  return result === 'DENY' ? 'denied' : `allowed where ${words}`;
}
