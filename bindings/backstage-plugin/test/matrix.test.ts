import { describe, expect, test } from 'vitest';

import type { Grid } from '../src/index.js';
import { EVERYTHING, matrixOf, said, shown } from '../src/matrix.js';

const permissions = ['catalog.a', 'catalog.b', 'proxy'].map((name, index) => ({
  name,
  plugin: index < 2 ? 'catalog' : 'kubernetes',
  action: index === 0 ? 'read' : null,
  resourceType: index < 2 ? 'catalog-entity' : null,
}));

const part = (
  groups: Grid['groups'],
  conditions: string[],
  next: number | null,
): Grid => ({ revision: 'r', permissions, conditions, groups, total: 4, next });

const parts = [
  part(
    [
      { group: 'group:default/web', results: 'ACD', conditions: [0] },
      { group: 'group:default/admins', results: 'AAA', conditions: [] },
    ],
    ['owned by the group'],
    2,
  ),
  part(
    [
      { group: 'group:default/ops', results: 'ACD', conditions: [1] },
      { group: 'group:default/api', results: 'ACD', conditions: [0] },
    ],
    ['of kind api', 'owned by the group'],
    null,
  ),
];

describe('a grid', () => {
  const matrix = matrixOf(parts);

  test('is put together, with the conditions of each part', () => {
    expect(matrix.rows.map(({ cells }) => cells[1]?.words)).toEqual([
      'owned by the group',
      null,
      'owned by the group',
      'of kind api',
    ]);
    expect(matrix.total).toBe(4);
  });

  test('is not put together of different policies', () => {
    const [first] = parts;
    const other = { ...first, revision: 'other' } as Grid;
    expect(() => matrixOf([...parts, other])).toThrow(/have changed/);
  });

  test('merges the rows that are equal, and no others', () => {
    const { rows } = shown(matrix, EVERYTHING);
    expect(rows.map(({ groups }) => groups)).toEqual([
      ['group:default/admins'],
      ['group:default/api'],
      ['group:default/ops', 'group:default/web'],
    ]);
    const single = shown(matrix, { ...EVERYTHING, merged: false });
    expect(single.rows).toHaveLength(4);
  });

  test('merges rows that are equal in the columns that are shown', () => {
    const view = { ...EVERYTHING, permission: 'proxy' };
    const { rows, columns } = shown(matrix, view);
    expect(columns.map(({ name }) => name)).toEqual(['proxy']);
    expect(rows.map(({ groups }) => groups.length)).toEqual([1, 3]);
  });

  test('is searched, filtered and sorted', () => {
    const of = (view: Partial<typeof EVERYTHING>) => {
      const { rows, columns } = shown(matrix, { ...EVERYTHING, ...view });
      return [
        rows.flatMap(({ groups }) => groups.map(name => name.slice(14))),
        columns.map(({ name }) => name),
      ];
    };
    const all = ['catalog.a', 'catalog.b', 'proxy'];
    expect(of({ group: ' WEB ' })).toEqual([['web'], all]);
    expect(of({ plugin: 'kubernetes' })[1]).toEqual(['proxy']);
    expect(of({ action: 'read' })[1]).toEqual(['catalog.a']);
    expect(of({ action: 'none' })[1]).toEqual(['catalog.b', 'proxy']);
    expect(of({ granted: true, group: 'web' })[1]).toEqual([
      'catalog.a',
      'catalog.b',
    ]);
    expect(of({ order: 'rights' })[0]?.[0]).toBe('admins');
    expect(of({ order: 'permission:proxy' })[0]?.[0]).toBe('admins');
    expect(of({ group: 'nobody' })).toEqual([[], all]);
  });

  test('denies whatever it does not know', () => {
    const [first] = parts;
    const odd = {
      ...first,
      groups: [{ group: 'g', results: 'X?C', conditions: [] }],
    };
    const [row] = matrixOf([odd as unknown as Grid]).rows;
    expect(row?.cells.map(({ result }) => result)).toEqual([
      'DENY',
      'DENY',
      'CONDITIONAL',
    ]);
  });

  test('says its cells in words', () => {
    const cells = matrix.rows[0]?.cells ?? [];
    expect(cells.map(said)).toEqual([
      'allowed',
      'allowed where owned by the group',
      'denied',
    ]);
  });

  test('of 300 groups and 150 permissions is there at once', () => {
    const many = Array.from({ length: 150 }, (_, index) => ({
      name: `p.${index}`,
      plugin: 'p',
      action: null,
      resourceType: null,
    }));
    const groups = Array.from({ length: 300 }, (_, index) => ({
      group: `group:default/g${index}`,
      results: many.map((__, n) => 'ACD'[(index * n) % 3]).join(''),
      conditions: many.map(() => 0),
    }));
    const large = { ...part(groups, ['x'], null), permissions: many };
    const started = performance.now();
    const { rows, columns } = shown(matrixOf([large]), EVERYTHING);
    expect(columns).toHaveLength(150);
    expect(rows).toHaveLength(3);
    // A machine that does ten other things needs some hundredths of a second.
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});
