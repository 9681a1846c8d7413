'use strict';

// `isAllowed` packs plain requests into a text; `decide` reads every object property by property.
// Both are one question, and have one answer or one error.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { Engine, Entities } = require('../main.js');
const { packed } = require('../requests.js');
const { texts, entities, deploy } = require('./shop.js');

const schema = `
  entity Group; entity User in [Group] { level?: Long, name?: String } tags String;
  entity Doc { owner?: User, labels?: Set<String>, size?: Long, open?: Bool, place?: Place };
  type Place = { site?: String, room?: { number?: Long } };
  action see appliesTo { principal: User, resource: Doc, context: {
    role?: String, at?: datetime, ip?: ipaddr, list?: Set<Long>, who?: User, deep?: Place } };`;
const policies = `
  permit(principal, action, resource) when { context has role && context.role == "admin" };
  permit(principal in Group::"staff", action, resource) when { resource has open && resource.open };
  permit(principal, action, resource) when { resource has owner && resource.owner == principal };
  permit(principal, action, resource) when { resource has labels && resource.labels.contains("x\\0y") };
  permit(principal, action, resource)
    when { resource has place && resource.place has room && resource.place.room has number
           && resource.place.room.number == -3 };
  permit(principal, action, resource) when { principal.hasTag("t") && principal.getTag("t") == "=" };
  forbid(principal, action, resource) when { context has list && context.list.contains(7) };
  forbid(principal, action, resource) when { context has ip && context.ip.isLoopback() };`;
const small = Engine.loadSync({
  texts: [
    { name: 's.cedarschema', text: schema },
    { name: 'p.cedar', text: policies },
  ],
});

function answer(ask) {
  try {
    return ask();
  } catch ({ code, message }) {
    return { code, message };
  }
}

/** Asks both ways, and returns the one answer. */
function asked(engine, request, store) {
  const allowed = answer(() => engine.isAllowed(request, store));
  const decided = answer(() => engine.decide(request, store).decision === 'allow');
  assert.deepEqual(allowed, decided, packed(request));
  return allowed;
}

const plain = {
  principal: 'User::"ana"',
  action: { type: 'Action', id: 'see' },
  resource: { type: 'Doc', id: 'd' },
};
const doc = attrs => [{ uid: plain.resource, attrs }];

test('what is plain is packed, and says the same', () => {
  const store = new Entities(entities);
  for (const request of [deploy, { ...deploy, context: {} }, { ...deploy, context: undefined }]) {
    assert.equal(typeof packed(request), 'string');
    asked(Engine.loadSync({ texts }), request, store);
  }
  const yes = [
    { ...plain, context: { role: 'admin' } },
    { ...plain, entities: doc({ owner: { __entity: { type: 'User', id: 'ana' } } }) },
    { ...plain, entities: doc({ owner: { __entity: 'User::"ana"' } }) },
    { ...plain, entities: doc({ place: { site: 's', room: { number: -3 } } }) },
    {
      ...plain,
      entities: [
        { uid: plain.principal, parents: ['Group::"staff"'], attrs: { level: 0 } },
        ...doc({ open: true, labels: [], size: undefined }),
      ],
    },
    { ...plain, entities: [{ uid: plain.principal, tags: { t: '=' } }] },
  ];
  for (const request of yes) {
    assert.equal(typeof packed(request), 'string');
    assert.equal(asked(small, request), true, packed(request));
  }
  assert.equal(asked(small, { ...plain, context: { role: 'admin', list: [1, 7] } }), false);
  assert.equal(asked(small, { ...plain, context: { role: 'admin', ip: '127.0.0.1' } }), false);
  assert.equal(asked(small, { ...plain, context: { role: 'guest' } }), false);
});

test('no value passes for another, whatever is in it', () => {
  const texts = [
    '',
    '\0',
    'a\0b',
    '=\0t',
    '\0=admin',
    '\0[1',
    '{2',
    '"',
    ':',
    '\ud800',
    'ä€😀',
    '\x01',
  ];
  texts.push('admin\0deep\0{0', '1', 't', 'x\0y', 'role\0=admin', 'x'.repeat(1 << 17));
  for (const text of texts) {
    asked(small, { ...plain, context: { role: text } });
    asked(small, { ...plain, context: { role: text, list: [7] } });
    asked(small, { ...plain, context: { [text]: 'admin' } });
    asked(small, { ...plain, principal: { type: 'User', id: text } });
    asked(small, { ...plain, principal: `User::"${text}"` });
    asked(small, { ...plain, resource: { type: text, id: 'd' } });
    asked(small, { ...plain, entities: doc({ labels: [text, 'x'] }) });
    asked(small, { ...plain, entities: doc({ labels: [text], open: true }) });
    asked(small, { ...plain, entities: [{ uid: plain.principal, tags: { t: text } }] });
    asked(small, { ...plain, entities: [{ uid: plain.principal, parents: [`Group::"${text}"`] }] });
  }
  assert.equal(asked(small, { ...plain, entities: doc({ labels: ['x\0y'] }) }), true);
});

test('what is not plain is left to the addon, with its errors', () => {
  class Request {
    constructor() {
      Object.assign(this, plain);
    }
  }
  const odd = [undefined, null, 7, 'x', [], new Map(), new Request(), () => {}, Symbol('x')];
  for (const request of odd) {
    assert.equal(packed(request), undefined);
    asked(small, request);
  }
  const values = [
    null,
    1.5,
    NaN,
    2 ** 60,
    7n,
    new Date(0),
    new Map([['a', 1]]),
    // eslint-disable-next-line no-sparse-arrays
    [1, , 2],
    () => {},
  ];
  values.push({ __extn: { fn: 'ip', arg: '::1' } }, { __entity: 7 }, { __x: 1 }, Buffer.from('x'));
  let deep = 'x';
  for (let n = 0; n < 100; n += 1) deep = n % 2 ? [deep] : { deep };
  values.push(deep);
  for (const value of values) {
    for (const key of ['principal', 'action', 'resource', 'context', 'entities', 'ctx']) {
      asked(small, { ...plain, [key]: value });
    }
    asked(small, { ...plain, context: { role: 'admin', ip: value } });
    asked(small, { ...plain, context: { role: 'admin', list: [value] } });
    for (const key of ['uid', 'attrs', 'tags', 'parents', 'attr']) {
      asked(small, { ...plain, entities: [{ uid: plain.resource, [key]: value }] });
    }
    asked(small, { ...plain, entities: doc({ size: value }) });
    asked(small, plain, value);
  }
  asked(small, { ...plain, context: { role: 'admin', list: [7n] } });
  asked(small, { ...plain, context: { role: 'admin', when: 1 } });
  asked(small, { ...plain, ctx: { list: [7] }, context: { role: 'admin' } });
});

test('a getter is asked once, and an array that shrinks is not read beyond its end', () => {
  let times = 0;
  const context = {
    get role() {
      times += 1;
      return times === 1 ? 'admin' : undefined;
    },
  };
  assert.equal(small.isAllowed({ ...plain, context }), true);
  const list = [{}, 7];
  const shrinking = {
    get uid() {
      list.length = 1;
      return plain.resource;
    },
  };
  list[0] = shrinking;
  assert.equal(small.isAllowed({ ...plain, entities: list }), false);
  list[1] = 7;
  assert.equal(small.isAllowed({ ...plain, entities: list }), false);
  assert.equal(list.length, 1);
});

test('random requests have one answer', () => {
  let seed = 17;
  const below = n => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % n;
  };
  const one = list => list[below(list.length)];
  const words = ['admin', 'x\0y', 'x', '', '=', '127.0.0.1', '1', '\0', 'User::"ana"'];
  const user = () => ({ __entity: { type: 'User', id: one(['ana', 'bo']) } });
  const number = () => below(9) - 4;
  const typed = {
    at: () => '2026-01-01',
    deep: () => fields(['site', 'room']),
    ip: () => one(['127.0.0.1', '10.0.0.1']),
    labels: () => Array.from({ length: below(4) }, () => one(words)),
    list: () => Array.from({ length: below(4) }, number),
    number,
    open: () => below(2) === 0,
    owner: user,
    place: () => fields(['site', 'room']),
    role: () => one(words),
    room: () => fields(['number']),
    site: () => one(words),
    size: number,
    who: user,
  };
  const kinds = Object.values(typed);
  // One in sixteen values is of another kind.
  const fields = names =>
    Object.fromEntries(
      names
        .filter(() => below(2) === 0)
        .map(name => [name, (below(16) === 0 ? one(kinds) : typed[name])()]),
    );
  let taken = 0;
  for (let n = 0; n < 2000; n += 1) {
    const request = {
      principal: one(['User::"ana"', { type: 'User', id: 'bo' }]),
      action: plain.action,
      resource: plain.resource,
      context: fields(['role', 'list', 'ip', 'who', 'deep', 'at']),
      entities: doc(fields(['owner', 'labels', 'size', 'open', 'place'])),
    };
    if (typeof asked(small, request) === 'boolean') taken += 1;
  }
  assert.ok(taken > 500, `${taken} requests were decided`);
});
