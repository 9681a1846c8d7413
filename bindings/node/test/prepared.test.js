'use strict';

const assert = require('node:assert/strict');
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');

const { Engine, Entities } = require('../main.js');

const schema = `
entity Group; entity User in [Group] { level: String };
entity Pod { group: String, kind: String, space?: String };
action get, remove appliesTo { principal: User, resource: Pod };`;

const policies = `
@id("team-reads")
permit (principal in Group::"team", action == Action::"get", resource)
when { resource.kind == "pods" && resource has space && resource.space == "shop" };
@id("nodes")
permit (principal, action == Action::"get", resource)
when { resource.kind == "nodes" && !(resource has space) };
@id("juniors-stay-out")
forbid (principal, action, resource)
when { principal.level == "junior" && resource.group == "secret" };`;

const ana = { uid: 'User::"ana"', attrs: { level: 'senior' }, parents: ['Group::"team"'] };
const ben = { uid: 'User::"ben"', attrs: { level: 'junior' }, parents: ['Group::"team"'] };

function load(text = policies) {
  return Engine.loadSync({
    texts: [
      { name: 's.cedarschema', text: schema },
      { name: 'p.cedar', text },
    ],
  });
}

/** Joins an id and attributes as `isAllowedPrepared` takes them. */
const packed = (id, ...values) =>
  [id, ...values.map(value => (value === undefined ? '' : `=${value}`))].join('\0');

function handles(engine) {
  const entities = new Entities([ana, ben]);
  return {
    ana: engine.principal('User::"ana"', entities),
    ben: engine.principal({ type: 'User', id: 'ben' }, entities),
    get: engine.action('Action::"get"'),
    pods: engine.resourceType('Pod', ['group', 'kind', 'space']),
  };
}

test('handles decide as whole requests do', () => {
  const engine = load();
  const h = handles(engine);
  const entities = new Entities([ana, ben]);
  let allowed = 0;
  for (const who of ['ana', 'ben']) {
    for (const group of ['', 'secret']) {
      for (const kind of ['pods', 'nodes', 'öther']) {
        for (const space of [undefined, 'shop', '', '=']) {
          const attrs = { group, kind, ...(space === undefined ? {} : { space }) };
          const expected = engine.decide(
            {
              principal: `User::"${who}"`,
              action: 'Action::"get"',
              resource: 'Pod::"web-1"',
              entities: [{ uid: 'Pod::"web-1"', attrs }],
            },
            entities,
          );
          const resource = packed('web-1', group, kind, space);
          const decided = engine.decidePrepared(h[who], h.get, h.pods, resource);
          assert.deepEqual(decided, expected);
          const is = engine.isAllowedPrepared(h[who], h.get, h.pods, resource);
          assert.equal(is, expected.decision === 'allow');
          assert.equal(engine.decider(h[who], h.get, h.pods)(resource), is);
          assert.deepEqual(engine.areAllowedPrepared(h[who], h.get, h.pods, [resource]), [is]);
          const object = { id: 'web-1', ...attrs };
          assert.deepEqual(engine.decidePrepared(h[who], h.get, h.pods, object), expected);
          assert.equal(engine.isAllowedPrepared(h[who], h.get, h.pods, object), is);
          assert.equal(engine.decider(h[who], h.get, h.pods)({ ...object, space }), is);
          const both = [resource, object];
          assert.deepEqual(engine.areAllowedPrepared(h[who], h.get, h.pods, both), [is, is]);
          allowed += is;
        }
      }
    }
  }
  assert.equal(allowed, 6);
  engine.close();
});

test('no value passes for another', () => {
  const engine = load();
  const { ana, get, pods } = handles(engine);
  const asked = resource => () => engine.isAllowedPrepared(ana, get, pods, resource);
  const code = 'argument::resource';
  assert.throws(asked('web\0=a\0=pods'), { code });
  assert.throws(asked('web\0=a\0=pods\0=x\0=shop'), { code });
  assert.throws(asked(packed('web', 'a\0=pods', 'pods', 'shop')), { code });
  assert.throws(asked('web\0=a\0pods\0=shop'), { code });
  assert.throws(asked('web\0=\ud800\0=pods\0=shop'), { code: 'argument::unicode' });
  assert.throws(asked(7), { code: 'argument::type' });
  // A required attribute is missing: not a request that the policies are about.
  assert.throws(asked(packed('web', 'a', undefined, 'shop')));
  assert.throws(() => engine.areAllowedPrepared(ana, get, pods, 'web'), { code: 'argument::type' });
  assert.throws(() => engine.isAllowedPrepared({}, get, pods, packed('w', 'a', 'pods', 'shop')));
  assert.throws(() => engine.resourceType('Pod', ['group', 'colour']));
  assert.throws(() => engine.resourceType('Pod', ['group', 'group']));
  assert.throws(() => engine.resourceType('Nothing', []));
  assert.throws(() => engine.action('Action::"dance"'));
  assert.throws(() => engine.principal('User::"ana"', new Entities([{ uid: 'User::"ana"' }])));
  engine.close();
  assert.throws(asked(packed('web', 'a', 'pods', 'shop')), { code: 'engine::closed' });
});

test('a decider takes one resource and nothing else', () => {
  const engine = load();
  const { ana, get, pods } = handles(engine);
  const may = engine.decider(ana, get, pods);
  assert.equal(may(packed('web', 'a', 'pods', 'shop')), true);
  assert.equal(may(packed('web', 'a', 'pods', 'other')), false);
  // Neither `this` nor further arguments change what is decided.
  assert.equal(may.call(undefined, packed('web', 'a', 'pods', 'other'), ana), false);
  for (const other of [undefined, null, 7, {}, ['web'], { toString: () => packed('w') }]) {
    assert.throws(() => may(other), { code: 'argument::type' });
  }
  assert.throws(() => may(), { code: 'argument::type' });
  assert.throws(() => may('web\0=a\0=pods'), { code: 'argument::resource' });
  assert.throws(() => may('web\0=a\0=pods\0=x\0=shop'), { code: 'argument::resource' });
  assert.throws(() => may('web\0=a\0pods\0=shop'), { code: 'argument::resource' });
  assert.throws(() => may('web\0=\ud800\0=pods\0=shop'), { code: 'argument::unicode' });
  assert.throws(() => may(packed('x'.repeat(2 << 20), 'a', 'pods')), { code: 'argument::size' });
  // A required attribute is missing: not a request that the policies are about.
  assert.throws(() => may(packed('web', 'a', undefined, 'shop')));
  assert.throws(() => engine.decider(get, ana, pods));
  assert.throws(() => engine.decider(ana, get));
  assert.throws(() => engine.decider({}, get, pods));
  engine.close();
  assert.throws(() => may(packed('web', 'a', 'pods', 'shop')), { code: 'engine::closed' });
  assert.throws(() => engine.decider(ana, get, pods), { code: 'engine::closed' });
});

test('a resource that is an object has no other keys and no other values', () => {
  const engine = load();
  const { ana, get, pods } = handles(engine);
  const may = engine.decider(ana, get, pods);
  const web = { id: 'web', group: 'a', kind: 'pods', space: 'shop' };
  assert.equal(may(web), true);
  const misspelt = { id: 'web', group: 'a', kind: 'pods', spaec: 'shop' };
  for (const asked of [
    misspelt,
    { ...web, id: undefined },
    { ...web, id: 7 },
    { ...web, kind: 7 },
    { ...web, kind: null },
    { ...web, toString: () => 'x' },
    [web],
    Object.create(web, { extra: { value: 1, enumerable: true } }),
  ]) {
    assert.throws(() => may(asked), { code: 'argument::type' });
    assert.throws(() => engine.isAllowedPrepared(ana, get, pods, asked), {
      code: 'argument::type',
    });
    assert.throws(() => engine.areAllowedPrepared(ana, get, pods, [web, asked]), {
      code: 'argument::type',
    });
  }
  assert.throws(() => may(misspelt), /unknown key `spaec`/);
  // No value passes for another, and what is required is asked for.
  assert.throws(() => may({ ...web, group: 'a\0=pods' }), { code: 'argument::resource' });
  assert.throws(() => may({ ...web, kind: undefined }));
  engine.close();
});

test('a decider keeps what it needs, and no other engine decides for it', () => {
  const engine = load();
  const may = (() => {
    const { ana, get, pods } = handles(engine);
    return engine.decider(ana, get, pods);
  })();
  globalThis.gc?.();
  const other = load('forbid (principal, action, resource);');
  const { ana, get, pods } = handles(engine);
  const shop = packed('web', 'a', 'pods', 'shop');
  // Handles of the first engine serve the second, which decides by its own policies.
  assert.equal(other.decider(ana, get, pods)(shop), false);
  assert.equal(may(shop), true);
  other.close();
  assert.equal(may(shop), true);
  engine.close();
});

test('handles outlive a reload', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'stagedoor-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const write = text => writeFileSync(join(folder, 'p.cedar'), text);
  writeFileSync(join(folder, 's.cedarschema'), schema);
  write(policies);
  const engine = Engine.loadSync({ directory: folder });
  const { ana, get, pods } = handles(engine);
  const may = engine.decider(ana, get, pods);
  const asked = () => {
    const resource = packed('w', 'a', 'pods', 'shop');
    const allowed = may(resource);
    assert.equal(engine.isAllowedPrepared(ana, get, pods, resource), allowed);
    return allowed;
  };
  assert.equal(asked(), true);
  write('forbid (principal, action, resource);');
  assert.equal((await engine.reload()).changed, true);
  assert.equal(asked(), false);
  write(policies);
  await engine.reload();
  assert.equal(asked(), true);
  engine.close();
});
