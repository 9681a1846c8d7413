// The page in Chromium, as part of a whole Backstage app, against the example's backend: what it
// shows is what Backstage decides.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { COMPLETE, options, skip, startApp } from './app.mjs';

const USERS = ['ana', 'ben', 'cleo', 'dan', 'eva', 'finn', 'guest'];
const OWN = 'component:default/payments-service-3';

let [app, backend, origin] = [];

before(
  async () => {
    if (skip) return;
    app = await startApp();
    ({ backend, origin } = app);
    for (const name of USERS) await backend.signIn(name);
  },
  { timeout: 900_000 },
);

after(() => app?.close());

const open = (...asked) => app.open(...asked);
const until = (...asked) => app.until(...asked);

const ask = async (path, as) => {
  const { status, body } = await backend.call(
    `permission/stagedoor/v1/${path}`,
    { as },
  );
  assert.equal(status, 200, `${path}: ${JSON.stringify(body)}`);
  return body;
};

const stated = (name, action, resourceType) => ({
  type: resourceType ? 'resource' : 'basic',
  name,
  attributes: action ? { action } : {},
  ...(resourceType && { resourceType }),
});

async function authorize(as, permission, resourceRef) {
  const { status, body } = await backend.call('permission/authorize', {
    as,
    body: { items: [{ id: '0', permission, resourceRef }] },
  });
  assert.equal(status, 200, JSON.stringify(body));
  return body.items[0].result;
}

test('every cell of the grid is what the policies decide', options, async t => {
  const page = await open('cleo', '/stagedoor/access');
  await until(page, COMPLETE);
  const cells =
    await page.run(`[...document.querySelectorAll('[data-groups]')].flatMap(row =>
    [...row.querySelectorAll('td button')].flatMap(cell =>
      row.dataset.groups.split(' ').map(group => ({
        group, permission: cell.dataset.permission, result: cell.dataset.result,
        label: cell.getAttribute('aria-label'),
      }))))`);
  const groups = [...new Set(cells.map(({ group }) => group))];
  assert.equal(groups.length, 10);
  let conditional = 0;
  for (const group of groups) {
    const { permissions } = await ask(`access?group=${group}`, 'cleo');
    const own = cells.filter(cell => cell.group === group);
    assert.equal(own.length, permissions.length);
    for (const { permission, result, words } of permissions) {
      const cell = own.find(each => each.permission === permission);
      assert.equal(cell.result, result, `${group} ${permission}`);
      // What hangs on the resource is said in words, with the group as `the group`.
      if (words) {
        conditional += 1;
        assert.ok(
          cell.label.endsWith(words.replaceAll(group, 'the group')),
          `${cell.label} is not ${words}`,
        );
      }
    }
  }
  t.diagnostic(JSON.stringify({ cells: cells.length, conditional }));
  assert.ok(conditional >= 20);
  // Those who are in one group alone have what its row says, by Backstage's own word.
  const { permissions } = await ask('grid?limit=1', 'cleo');
  for (const [name, group] of [
    ['eva', 'group:default/logistics'],
    ['finn', 'group:default/growth'],
  ]) {
    for (const { name: permission, action, resourceType } of permissions) {
      if (resourceType) continue;
      const cell = cells.find(
        each => each.group === group && each.permission === permission,
      );
      const decided = await authorize(name, stated(permission, action));
      assert.equal(cell.result, decided, `${name} ${permission}`);
    }
  }
});

test('the grid is used by keyboard alone', options, async () => {
  const page = await open('cleo', '/stagedoor/access');
  await until(page, COMPLETE);
  const isCell = `document.activeElement.matches('td button')`;
  for (
    let presses = 0;
    presses < 100 && !(await page.run(isCell));
    presses += 1
  ) {
    await page.key('Tab');
  }
  assert.equal(await page.run(isCell), true, 'Tab does not lead to the grid');
  const label = `document.activeElement.getAttribute('aria-label')`;
  const first = await page.run(label);
  await page.key('ArrowRight');
  await page.key('ArrowDown');
  const there = await page.run(label);
  assert.notEqual(there, first);
  assert.match(there, /, .+: (allowed|denied)/);
  assert.equal(
    await page.run(`document.querySelector('[data-testid=told]').textContent`),
    there,
  );
  await page.key('Enter');
  await until(
    page,
    `document.querySelector('[role=dialog] .stagedoor-result') !== null`,
  );
  await until(page, `document.activeElement.closest('[role=dialog]') !== null`);
  await page.shoot('cell');
  await page.key('Escape');
  await until(page, `document.querySelector('[role=dialog]') === null`);
  await until(page, `${label} === ${JSON.stringify(there)}`);
  // Above the first row are the names of the permissions, which sort.
  await page.key('ArrowUp');
  await page.key('ArrowUp');
  await page.key('Enter');
  await until(
    page,
    `document.querySelectorAll('th[aria-sort=descending]').length === 1`,
  );
});

test('explanations end with what Backstage decides', options, async t => {
  const questions = [
    ['kubernetes.proxy'],
    ['catalog.location.create', 'create'],
    ['devtools.info', 'read'],
    ['catalog.entity.delete', 'delete', OWN],
    ['catalog.entity.read', 'read', 'component:default/payments-service-7'],
  ];
  const page = await open('cleo', '/stagedoor/why');
  let asked = 0;
  for (const name of USERS) {
    for (const [permission, action, entity] of questions) {
      const query = new URLSearchParams({
        permission,
        user: `user:default/${name}`,
        ...(entity && { entity }),
      });
      await page.open(`${origin}/stagedoor/why?${query}`);
      const result = await until(
        page,
        `document.querySelector('article[data-result]')?.dataset.result`,
      );
      const known = (await ask(`access?permission=${permission}`, 'cleo'))
        .permissions[0];
      const type = entity && 'catalog-entity';
      const decided = await authorize(
        name,
        stated(permission, action, type),
        entity,
      );
      assert.equal(result, decided, `${query}`);
      assert.notEqual(known.plugin, 'unknown', permission);
      asked += 1;
    }
  }
  t.diagnostic(JSON.stringify({ asked }));
});

test(
  'who can, what if and the status are there for those who may',
  options,
  async () => {
    const page = await open(
      'cleo',
      `/stagedoor/who-can?permission=catalog.entity.delete&entity=${OWN}`,
    );
    const users = await until(
      page,
      `(rows => rows.length && rows.map(row => row.dataset.user))(
      [...document.querySelectorAll('[data-user]')])`,
    );
    const expected = [];
    for (const name of USERS) {
      const permission = stated(
        'catalog.entity.delete',
        'delete',
        'catalog-entity',
      );
      if ((await authorize(name, permission, OWN)) === 'ALLOW') {
        expected.push(`user:default/${name}`);
      }
    }
    assert.deepEqual(users.sort(), expected);
    await page.shoot('who-can');

    await page.open(`${origin}/stagedoor/what-if`);
    await until(page, `document.querySelector('textarea') !== null`);
    await page.run(`document.querySelector('textarea').focus()`);
    const text = `@id("everybody") permit (principal is Backstage::User,
    action == Backstage::Action::"kubernetes.proxy", resource);`;
    await page.send('Input.insertText', { text });
    await page.run(`[...document.querySelectorAll('button')]
    .find(button => button.textContent === 'Compare').click()`);
    const verdict = await until(
      page,
      `document.querySelector('article[data-verdict]')?.dataset.verdict`,
    );
    assert.equal(verdict, 'widened');
    assert.match(
      await page.run(
        `document.querySelector('[data-testid=asked]').textContent`,
      ),
      /4 gain and 0 lose/,
    );
    await page.shoot('what-if');

    await page.open(`${origin}/stagedoor/status`);
    await until(
      page,
      `document.body.innerText.includes('The policies are in force')`,
    );
    await page.shoot('status');
  },
);

test(
  'an ordinary user sees their own rights, and nothing else',
  options,
  async () => {
    const page = await open('ana', '/stagedoor/access');
    const rows = await until(
      page,
      `(rows => rows.length && rows.map(row => [row.dataset.permission,
      row.querySelector('[data-result]').dataset.result]))(
      [...document.querySelectorAll('tr[data-permission]')])`,
    );
    const { permissions } = await ask('access', 'ana');
    assert.deepEqual(
      rows,
      permissions.map(({ permission, result }) => [permission, result]),
    );
    const text = await page.run('document.body.innerText');
    for (const hidden of ['Who can', 'What if', 'Status']) {
      assert.ok(!text.includes(hidden), hidden);
    }
    for (const path of [
      'status',
      'grid',
      'who-can?permission=kubernetes.proxy',
    ]) {
      const { status } = await backend.call(`permission/stagedoor/v1/${path}`, {
        as: 'ana',
      });
      assert.equal(status, 403, path);
    }
    // By its address it is empty: the page is there, the tab is not.
    await page.open(`${origin}/stagedoor/status`);
    await until(page, `document.body.innerText.includes('Why')`);
    const shown = await page.run(`document.querySelector('.stagedoor-page')`);
    assert.equal(shown, null);
    await page.open(`${origin}/stagedoor/why?permission=kubernetes.proxy`);
    await until(
      page,
      `document.querySelector('article')?.innerText.includes('on-call-proxy')`,
    );
    assert.equal(
      await page.run(
        `document.body.innerText.includes('What every policy says')`,
      ),
      false,
    );
  },
);

test(
  'the card of an entity says what one may do with it',
  options,
  async () => {
    for (const name of ['ana', 'ben']) {
      const page = await open(
        name,
        '/catalog/default/component/payments-service-3',
      );
      const shown = await until(
        page,
        `(items => items.length && items.map(({ dataset }) => [dataset.permission, dataset.result]))(
        [...document.querySelectorAll('.stagedoor-rights li')])`,
      );
      for (const [permission, result] of shown) {
        const action = { delete: 'delete', read: 'read', refresh: 'update' }[
          permission.split('.').at(-1)
        ];
        if (!permission.startsWith('catalog.entity.') || !action) continue;
        const decided = await authorize(
          name,
          stated(permission, action, 'catalog-entity'),
          OWN,
        );
        assert.equal(result, decided, `${name} ${permission}`);
      }
      assert.ok(shown.length >= 3);
      await page.shoot(`card-${name}`);
    }
  },
);

test(
  'at two widths and in both themes nothing is cut off or unreadable',
  options,
  async () => {
    for (const [name, size] of [
      ['wide', [1400, 900]],
      ['phone', [390, 844]],
    ]) {
      const seen = {};
      for (const scheme of ['light', 'dark']) {
        for (const [path, ready] of [
          ['access', COMPLETE],
          [
            `why?permission=catalog.entity.delete&user=user:default/ben&entity=${OWN}`,
            `document.querySelector('article[data-result]') !== null`,
          ],
        ]) {
          const page = await open('cleo', `/stagedoor/${path}`, size, scheme);
          await until(page, ready);
          await page.shoot(`${path.split('?')[0]}-${name}-${scheme}`);
          const width = await page.run('document.documentElement.scrollWidth');
          assert.ok(width <= size[0], `${path} is ${width} wide on ${size[0]}`);
          seen[scheme] = await page.run(`(({ color }) => color)(
          getComputedStyle(document.querySelector('.stagedoor-page')))`);
        }
      }
      assert.notEqual(seen.light, seen.dark, name);
    }
  },
);

test('nothing went wrong in any page', options, () => {
  assert.deepEqual(app.failures(), []);
});
