'use strict';

const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { test } = require('node:test');

const { DecisionLog, Engine } = require('../main.js');

const schema = JSON.parse(
  readFileSync(
    join(__dirname, '../../../crates/stagedoor-audit/schema/decision-record.v1.schema.json'),
    'utf8',
  ),
);

const denied = (more = {}) => ({
  platform: 'cedar',
  endpoint: 'decide',
  request: { principal: 'User::"ana"', action: 'Action::"deploy"', resource: 'Service::"ledger"' },
  outcome: 'denied',
  policies: [{ id: 'no-friday', effect: 'forbid' }],
  ...more,
});

test('what an engine decides comes to the function, as the schema has it', async () => {
  const engine = Engine.loadSync({
    texts: [
      {
        name: 's.cedarschema',
        text: `entity User; entity Service;
          action deploy appliesTo { principal: User, resource: Service, context: { mfa: Bool } };`,
      },
      { name: 'p.cedar', text: '@id("all") permit (principal == User::"ana", action, resource);' },
    ],
  });
  const batches = [];
  const log = new DecisionLog(records => batches.push(records), { decisions: 'all' });
  for (const user of ['ana', 'bob']) {
    const request = {
      principal: `User::"${user}"`,
      action: 'Action::"deploy"',
      resource: 'Service::"ledger"',
      context: { mfa: true },
    };
    const { decision, reasons, errors, revision } = engine.decide(request);
    const policies = reasons.map(id => ({
      id,
      effect: decision === 'allow' ? 'permit' : 'forbid',
    }));
    const outcome = decision === 'allow' ? 'allowed' : 'denied';
    const record = { platform: 'cedar', endpoint: 'decide', request, outcome, policies, revision };
    assert.equal(
      log.record({ ...record, errors, requestId: `q-${user}`, auditId: undefined }),
      true,
    );
  }
  assert.deepEqual(batches, [], 'nobody waits for it');
  await log.flush();
  assert.equal(batches.length, 1, 'one sweep goes together');
  const records = batches[0].map(line => JSON.parse(line));
  for (const record of records) {
    for (const key of schema.required) assert.ok(key in record, key);
    for (const key of Object.keys(record)) assert.ok(key in schema.properties, key);
    assert.match(record.time, new RegExp(schema.properties.time.pattern));
    assert.ok(schema.properties.platform.enum.includes(record.platform));
    assert.deepEqual(record.request.context, { mfa: true });
    assert.equal(record.revision, engine.revision);
  }
  assert.deepEqual(
    records.map(({ outcome, policies, requestId }) => [outcome, policies, requestId]),
    [
      ['allowed', [{ id: 'all', effect: 'permit' }], 'q-ana'],
      ['denied', [], 'q-bob'],
    ],
  );
  assert.notEqual(records[0].id, records[1].id);
  assert.deepEqual(log.counts, { written: 2, dropped: 0, failed: 0, excluded: 0 });
  engine.close();
});

test('records are sampled, left out, masked, and written as a SIEM takes them', async () => {
  const lines = [];
  const sink = records => lines.push(...records);
  const log = new DecisionLog(sink, {
    form: 'ocsf',
    decisions: 'all',
    sample: { allowed: 0.1 },
    drop: ['/request/principal=User::"robot*'],
    mask: ['/request/context/*'],
  });
  for (let n = 0; n < 20; n += 1) {
    const request = { ...denied().request, context: { secret: 's3cret' } };
    log.record(denied({ outcome: 'allowed', request }));
    log.record(denied({ request: { principal: `User::"robot-${n}"` } }));
  }
  const request = { ...denied().request, context: { secret: 's3cret' } };
  log.record(denied({ request }));
  await log.flush();
  const events = lines.map(line => JSON.parse(line));
  assert.deepEqual(
    events.map(({ status_code: outcome }) => outcome),
    ['allowed', 'allowed', 'denied'],
  );
  for (const event of events) {
    assert.equal(event.class_uid, 6003);
    assert.equal(event.metadata.version, '1.8.0');
    assert.deepEqual(event.unmapped.request.context, { secret: '(masked)' });
    assert.deepEqual(event.unmapped.masked, ['/request/context/secret']);
    assert.ok(!JSON.stringify(event).includes('s3cret'));
  }
  assert.equal(log.counts.excluded, 20);
  // By default: denials, and what is allowed and may change something.
  const notable = new DecisionLog(records => lines.push(...records));
  lines.length = 0;
  notable.record(denied({ outcome: 'allowed' }), false);
  notable.record(denied({ outcome: 'allowed' }));
  notable.record(denied(), false);
  await notable.flush();
  assert.equal(lines.length, 2);
});

test('a slow function holds up nobody: more than there is room for is dropped and counted', async () => {
  let release;
  const held = new Promise(resolve => (release = resolve));
  const batches = [];
  const sink = async records => {
    batches.push(records);
    await held;
  };
  const log = new DecisionLog(sink, { buffer: 10 });
  log.record(denied());
  await null;
  await null;
  assert.equal(batches.length, 1, 'it is in the hands of the function');
  const room = Array.from({ length: 15 }, () => log.record(denied()));
  assert.deepEqual(room, [...Array(10).fill(true), ...Array(5).fill(false)]);
  await assert.rejects(log.recordRequired(denied()), /too many records wait/);
  release();
  await log.flush();
  assert.deepEqual(log.counts, { written: 11, dropped: 6, failed: 0, excluded: 0 });
  // By size as well, and one that is larger than all of it when nothing else waits.
  const small = new DecisionLog(() => {}, { bufferSize: 1_000 });
  const large = denied({ requestId: 'x'.repeat(2_000) });
  assert.deepEqual([small.record(large), small.record(large)], [true, false]);
  await small.flush();
  assert.equal(small.record(large), true);
  await small.flush();
});

test('a function that fails is told of once, and where records are required it is a refusal', async () => {
  let isFull = true;
  const told = [];
  const sink = async () => {
    if (isFull) throw new Error('no room');
  };
  const log = new DecisionLog(sink, { onError: error => told.push(error.message) });
  await assert.rejects(log.recordRequired(denied({ outcome: 'allowed' })), /no room/);
  log.record(denied());
  await log.flush();
  assert.deepEqual(told, ['no room']);
  isFull = false;
  await log.recordRequired(denied({ outcome: 'allowed' }));
  isFull = true;
  log.record(denied());
  await log.flush();
  assert.deepEqual(told, ['no room', 'no room'], 'once more, since it had gone on');
  assert.deepEqual(log.counts, { written: 1, dropped: 0, failed: 3, excluded: 0 });
});

test('a function that never answers holds nobody up who requires records', async () => {
  const told = [];
  const batches = [];
  let release;
  const held = new Promise(resolve => (release = resolve));
  const sink = records => {
    batches.push(records);
    return held;
  };
  const onError = error => told.push(error.message);
  const log = new DecisionLog(sink, { timeout: 20, onError });
  const late = /the sink took longer than 20 ms/;
  await assert.rejects(log.recordRequired(denied({ requestId: 'in its hands' })), late);
  await assert.rejects(log.recordRequired(denied({ requestId: 'waits' })), late);
  await assert.rejects(log.flush(), late);
  assert.equal(told.length, 1);
  log.record(denied({ requestId: 'later' }));
  release();
  await log.flush();
  // What was refused for its record is not recorded as allowed afterwards.
  const ids = batches.flat().map(line => JSON.parse(line).requestId);
  assert.deepEqual(ids, ['in its hands', 'later']);
  assert.deepEqual(log.counts, { written: 2, dropped: 0, failed: 1, excluded: 0 });
  await log.recordRequired(denied());
});

test('what is wrong is thrown, and named', () => {
  const log = options => new DecisionLog(() => {}, options);
  for (const [make, message] of [
    [() => new DecisionLog(), /the sink must be a function/],
    [() => log({ buffer: 0 }), /`buffer` must be a whole number/],
    [() => log({ timeout: 0 }), /`timeout` must be a whole number/],
    [() => log({ timeout: Infinity }), /`timeout` must be a whole number/],
    [() => log({ form: 'cef' }), /`form` is `cef`/],
    [() => log({ decisions: 'some' }), /`decisions` is `some`/],
    [() => log({ sample: { allowed: 2 } }), /`allowed=2` is not a rate/],
    [() => log({ drop: ['user'] }), /`user` is not a rule/],
    [() => log({ mask: ['/outcome'] }), /`\/outcome` says what the decision was/],
    [() => log({ masks: [] }), /`masks`/],
    [() => log().record(), /record/],
    [() => log().record(denied({ polices: [] })), /`polices`/],
    [
      () => log().record(denied({ outcome: 'maybe' })),
      /not a decision: `maybe` is none of `allowed`/,
    ],
    [
      () => log().record(denied({ policies: undefined })),
      /not a decision: missing field `policies`/,
    ],
  ]) {
    assert.throws(make, message);
  }
});
