import { cleanup, fireEvent, render, screen } from '@testing-library/react';
import { afterEach, expect, test, vi } from 'vitest';

import { MatrixTable } from '../src/components/MatrixTable.js';
import type { Row } from '../src/matrix.js';

afterEach(cleanup);

const columns = Array.from({ length: 40 }, (_, index) => ({
  name: `permission.${index}`,
  plugin: 'p',
  action: null,
  resourceType: null,
}));
const rows = Array.from({ length: 300 }, (_, index): Row => ({
  groups: [`group:default/g${index}`],
  cells: columns.map((__, column) => ({
    result: (index + column) % 2 ? 'DENY' : 'CONDITIONAL',
    words: (index + column) % 2 ? null : 'owned by the group',
  })),
}));

test('of many columns those that are seen are rendered, and the keyboard reaches all', () => {
  const many = Array.from({ length: 150 }, (_, index) => ({
    name: `permission.${index}`,
    plugin: 'p',
    action: null,
    resourceType: null,
  }));
  const wide = rows.slice(0, 12).map(({ groups }): Row => ({
    groups,
    cells: many.map(() => ({ result: 'ALLOW', words: null })),
  }));
  render(
    <MatrixTable
      columns={many}
      rows={wide}
      order="name"
      onOpen={vi.fn()}
      onOrder={vi.fn()}
    />,
  );
  const grid = screen.getByRole('grid');
  expect(grid.getAttribute('aria-colcount')).toBe('151');
  const rendered = () =>
    grid.querySelectorAll('tbody tr[data-groups]:nth-of-type(1) td button')
      .length || grid.querySelectorAll('thead button').length;
  expect(rendered()).toBeLessThan(80);
  grid.querySelector<HTMLElement>('tbody [tabindex="0"]')?.focus();
  const press = (key: string, more = {}) =>
    fireEvent.keyDown(document.activeElement as Element, { key, ...more });
  press('End');
  expect(focused()).toContain('g0, permission.149');
  const at = document.activeElement?.closest('td');
  expect(at?.getAttribute('aria-colindex')).toBe('151');
  expect(rendered()).toBeLessThan(80);
  // Back over those that were not rendered.
  for (let steps = 0; steps < 100; steps += 1) press('ArrowLeft');
  expect(focused()).toContain('g0, permission.49');
  press('Home');
  expect(focused()).toContain('g0, permission.0');
  // Each row has what the head has.
  const [head, first] = [...grid.querySelectorAll('tr')];
  expect(first?.children.length).toBe(head?.children.length);
});

function show() {
  const [onOpen, onOrder] = [vi.fn(), vi.fn()];
  render(
    <MatrixTable
      columns={columns}
      rows={rows}
      order="name"
      onOpen={onOpen}
      onOrder={onOrder}
    />,
  );
  return { onOpen, onOrder };
}

const focused = () => document.activeElement?.getAttribute('aria-label');

test('of many rows those that are seen are rendered, and all are counted', () => {
  show();
  const grid = screen.getByRole('grid', { name: 'Groups and permissions' });
  expect(grid.getAttribute('aria-rowcount')).toBe('301');
  expect(grid.getAttribute('aria-colcount')).toBe('41');
  expect(grid.querySelectorAll('[data-groups]').length).toBeLessThan(80);
});

test('one cell is a stop of the keyboard, and arrows lead to the others', () => {
  const { onOpen } = show();
  const stops = document.querySelectorAll('tbody [tabindex="0"]');
  expect(stops).toHaveLength(1);
  (stops[0] as HTMLElement).focus();
  expect(focused()).toBe(
    'group:default/g0, permission.0: allowed where owned by the group',
  );
  const press = (key: string, more = {}) =>
    fireEvent.keyDown(document.activeElement as Element, { key, ...more });
  press('ArrowRight');
  expect(focused()).toBe('group:default/g0, permission.1: denied');
  press('ArrowDown');
  expect(focused()).toContain('group:default/g1, permission.1: allowed where');
  press('ArrowUp');
  press('ArrowLeft');
  press('ArrowLeft');
  expect(focused()).toContain('g0, permission.0');
  // What is not rendered yet is rendered when the keyboard goes there.
  press('End', { ctrlKey: true });
  expect(focused()).toContain('g299, permission.39');
  press('Home', { ctrlKey: true });
  expect(focused()).toContain('g0, permission.0');
  fireEvent.click(document.activeElement as Element);
  expect(onOpen).toHaveBeenCalledWith(rows[0], columns[0]);
  expect(screen.getByTestId('told').textContent).toBe(
    'group:default/g0, permission.0: allowed where owned by the group',
  );
});

test('a column sorts, by keyboard as well: above the first row are the names', () => {
  const { onOrder } = show();
  fireEvent.click(screen.getByTitle('Sort by permission.3'));
  expect(onOrder).toHaveBeenCalledWith('permission:permission.3');
  document.querySelector<HTMLElement>('tbody [tabindex="0"]')?.focus();
  for (const key of ['ArrowRight', 'ArrowUp', 'ArrowUp']) {
    fireEvent.keyDown(document.activeElement as Element, { key });
  }
  const name = screen.getByTitle('Sort by permission.1');
  expect(document.activeElement).toBe(name);
  expect(document.querySelectorAll('table [tabindex="0"]')).toHaveLength(1);
  expect(screen.getByTestId('told').textContent).toContain('sorts by');
});

test('nothing left says so', () => {
  render(
    <MatrixTable
      columns={[]}
      rows={[]}
      order="name"
      onOpen={vi.fn()}
      onOrder={vi.fn()}
    />,
  );
  expect(screen.getByTestId('told').textContent).toBe(
    'Nothing is left to show.',
  );
});
