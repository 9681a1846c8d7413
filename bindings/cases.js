"use strict";

// The cases that all faces of Stagedoor share, run by engines for JavaScript.

const assert = require("node:assert/strict");
const { readdirSync, readFileSync } = require("node:fs");
const { join } = require("node:path");
const { test } = require("node:test");

/** Reads JSON, and integers beyond those of JavaScript's numbers as BigInts. */
function parse(json) {
  const marked = json.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}/g, (found) =>
    found.startsWith('"') ? found : `{"$integer":"${found}"}`,
  );
  return JSON.parse(marked, (_, value) =>
    value?.$integer ? BigInt(value.$integer) : value,
  );
}

/** Writes JSON, BigInts as integers. */
function print(value) {
  const big = (_, each) =>
    typeof each === "bigint" ? { $integer: `${each}` } : each;
  return JSON.stringify(value, big).replace(/\{"\$integer":"(-?\d+)"\}/g, "$1");
}

const folder = join(__dirname, "../tests/cases/decide");

/** Makes a test of every file of cases. */
function shareCases({ Engine, Entities }) {
  for (const file of readdirSync(folder).filter((name) =>
    name.endsWith(".json"),
  )) {
    test(file, () => {
      const suite = parse(readFileSync(join(folder, file), "utf8"));
      const texts = [];
      const add = (name, text) =>
        text && texts.push({ name, text: [text].flat().join("\n") });
      add("suite.cedarschema", suite.schema);
      add("suite.cedar", suite.policies);
      add("suite.cedar.json", suite.policiesJson && print(suite.policiesJson));
      const engine = Engine.loadSync({
        texts,
        exactCedar: suite.exactCedar ?? false,
      });
      const entities = Entities.fromJson(print(suite.entities ?? []), engine);
      assert.ok(suite.cases.length > 0);
      for (const { name, request, expect } of suite.cases) {
        if (expect.refused !== undefined) {
          assert.throws(
            () => engine.decide(request, entities),
            (error) =>
              error.message.includes(expect.refused) ||
              assert.fail(`${name}: ${error.message}`),
          );
          continue;
        }
        const {
          decision,
          reasons,
          errors = [],
        } = engine.decide(request, entities);
        const expected = expect.allow ?? expect.deny;
        assert.equal(decision, expect.allow ? "allow" : "deny", name);
        assert.deepEqual(reasons.sort(), expected.reasons.sort(), name);
        const wanted = Object.entries(expected.errors ?? {});
        assert.deepEqual(
          errors.map((error) => error.policy).sort(),
          wanted.map(([id]) => id).sort(),
        );
        for (const [id, part] of wanted) {
          const { message } = errors.find((error) => error.policy === id);
          assert.ok(message.includes(part), `${name}: ${message}`);
        }
        assert.equal(
          engine.isAllowed(request, entities),
          decision === "allow",
          name,
        );
      }
    });
  }
}

module.exports = { shareCases };
