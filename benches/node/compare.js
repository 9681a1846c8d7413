'use strict';

// Decisions from Node: the addon by each way of passing a request, beside Cedar's WebAssembly,
// casbin and CASL, in turn, on the workload of the Rust benches. Prints one JSON array of
// {row, n, ns_per_decision, checked}. See ../README.md.

const { readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { parseArgs } = require('node:util');

const addon = require('./contenders/addon.js');
const casbin = require('./contenders/casbin.js');
const casl = require('./contenders/casl.js');
const cedar = require('./contenders/cedar.js');

const { values: args } = parseArgs({
  options: {
    n: { type: 'string', default: '10,1000,100000' },
    // Made by `cargo run --release --bin workload -- --out DIR`.
    workloads: { type: 'string', default: 'workloads' },
    rounds: { type: 'string', default: '9' },
    rows: { type: 'string' },
    json: { type: 'string' },
  },
});
const ROUNDS = Number(args.rounds);
/** Milliseconds of processor time that a turn may take, and those that checking may. */
const TURN = 250;
const CHECK = 4_000;
/** Requests that the slowest decides in a turn. */
const FEWEST = 8;
/** Requests of one batch: the page of a list. */
const PAGE = 50;

/** The processor time of this process, in nanoseconds. */
function clock() {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1_000;
}

/** Each answers requests from `start` to `end`, and returns how many it answered wrongly. */
function oneByOne(decide) {
  return (requests, start, end) => {
    let wrong = 0;
    for (let index = start; index < end; index += 1) {
      const request = requests[index];
      if (decide(request) !== request.allowed) wrong += 1;
    }
    return wrong;
  };
}

function addonRows(workload) {
  const loaded = addon.load(workload);
  const { engine } = loaded;
  const { principals, actions, resources } = addon.handles(loaded, workload.requests);
  const deciders = addon.deciders(loaded, workload.requests, { principals, actions, resources });
  const packed = workload.requests.map(addon.packed);
  return {
    'node-stagedoor-object': oneByOne(addon.objects(loaded)),
    'node-stagedoor-handles': oneByOne(request =>
      engine.isAllowedPrepared(
        principals[request.user],
        actions.get(request.verb),
        resources,
        addon.resource(request),
      ),
    ),
    'node-stagedoor-handles-packed': (requests, start, end) => {
      let wrong = 0;
      for (let index = start; index < end; index += 1) {
        const { user, verb, allowed } = requests[index];
        const given = engine.isAllowedPrepared(
          principals[user],
          actions.get(verb),
          resources,
          packed[index],
        );
        if (given !== allowed) wrong += 1;
      }
      return wrong;
    },
    'node-stagedoor-decider': oneByOne(request =>
      deciders[request.user].get(request.verb)(addon.resource(request)),
    ),
    'node-stagedoor-decider-packed': (requests, start, end) => {
      let wrong = 0;
      for (let index = start; index < end; index += 1) {
        const { user, verb, allowed } = requests[index];
        if (deciders[user].get(verb)(packed[index]) !== allowed) wrong += 1;
      }
      return wrong;
    },
    'node-stagedoor-batch': pages(loaded, { principals, actions, resources }, packed),
    close: () => engine.close(),
  };
}

/** Each user asks about a page of objects: the request's own and those after it. */
function pages(loaded, { principals, actions, resources }, packed) {
  const { engine } = loaded;
  const one = addon.objects(loaded);
  const known = new Map();
  // What was asked one by one, with the workload's answer for the first.
  const page = (requests, start) => {
    if (known.has(start)) return known.get(start);
    const places = Array.from({ length: PAGE }, (_, n) => (start + n) % requests.length);
    const { user, verb, allowed } = requests[start];
    const answers = places.map(place => one({ ...requests[place], user, verb }));
    if (answers[0] !== allowed) throw new Error('the page begins with a wrong answer');
    const made = { texts: places.map(place => packed[place]), answers };
    known.set(start, made);
    return made;
  };
  return (requests, start, end) => {
    let wrong = 0;
    for (let index = start; index < end; index += PAGE) {
      const { user, verb } = requests[index];
      const { texts, answers } = page(requests, index);
      const given = engine.areAllowedPrepared(
        principals[user],
        actions.get(verb),
        resources,
        texts,
      );
      for (let n = 0; n < PAGE; n += 1) if (given[n] !== answers[n]) wrong += 1;
    }
    return wrong;
  };
}

/** Peers that took longer than this a decision, in nanoseconds, are not asked with more grants. */
const SLOW = 1e6;
const tooSlow = new Set();

async function contenders(workload) {
  const wanted = args.rows?.split(',');
  const { close, ...rows } = addonRows(workload);
  const others = {
    'node-casl-cached': () => casl.cached(workload),
    'node-casl-built': () => casl.built(workload),
    'node-casbin': () => casbin.load(workload),
    'node-cedar-wasm': () => cedar.load(workload),
  };
  for (const [name, load] of Object.entries(others)) {
    if (wanted && !wanted.includes(name)) continue;
    if (tooSlow.has(name)) {
      console.error(
        `${name} is left out at ${workload.n} grants: it takes milliseconds with fewer`,
      );
      continue;
    }
    try {
      rows[name] = oneByOne(await load());
    } catch (error) {
      console.error(`${name} does not load ${workload.n} grants: ${String(error).slice(0, 200)}`);
    }
  }
  return { rows: Object.entries(rows), close };
}

/** Checks answers for a while, and returns how many requests that were; a wrong one throws. */
function checkedFirst(name, answer, requests) {
  let checked = 0;
  const started = clock();
  while (checked < requests.length && (checked < FEWEST || clock() - started < CHECK * 1e6)) {
    const end = Math.min(requests.length, Math.max(FEWEST, 2 * checked));
    const wrong = answer(requests, checked, end);
    if (wrong > 0) throw new Error(`${name} answers ${wrong} of ${end} requests wrongly`);
    checked = end;
  }
  return checked;
}

/** Returns how many requests fit into a turn, now that what is made at first is there. */
function fitting(answer, requests, checked) {
  const started = clock();
  answer(requests, 0, checked);
  const share = (TURN * 1e6) / Math.max(1, clock() - started);
  return Math.max(FEWEST, Math.floor(checked * Math.min(1, share)));
}

async function compare(n) {
  const file = join(args.workloads, `${n}.json`);
  const workload = { ...JSON.parse(readFileSync(file, 'utf8')), n };
  const { requests } = workload;
  const { rows, close } = await contenders(workload);
  const measured = rows.map(([name, answer]) => {
    const checked = checkedFirst(name, answer, requests);
    return { name, answer, checked, count: fitting(answer, requests, checked), times: [] };
  });
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { name, answer, count, times } of measured) {
      // The engine before has filled the processor's caches.
      if (count === requests.length) answer(requests, 0, count);
      const started = clock();
      let wrong = 0;
      let decided = 0;
      // Many are decided again, so that the clock's steps do not count.
      do {
        wrong += answer(requests, 0, count);
        decided += count;
      } while (decided < 20_000 && clock() - started < (TURN * 1e6) / 5);
      times.push((clock() - started) / decided);
      if (wrong > 0) throw new Error(`${name} answers ${wrong} requests wrongly`);
    }
  }
  close();
  const median = times => times.sort((a, b) => a - b)[times.length >> 1];
  return measured.map(({ name, checked, times }) => {
    const took = Math.round(median(times));
    if (took > SLOW) tooSlow.add(name);
    return { row: name, n, ns_per_decision: took, checked };
  });
}

async function main() {
  const rows = [];
  for (const n of args.n.split(',').map(Number)) {
    rows.push(...(await compare(n)));
    globalThis.gc?.();
  }
  const json = `${JSON.stringify(rows, undefined, 2)}\n`;
  if (args.json) writeFileSync(args.json, json);
  process.stdout.write(json);
}

main().catch(error => {
  console.error(error);
  process.exitCode = 1;
});
