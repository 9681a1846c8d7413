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
const wire = join(__dirname, "../tests/cases/wire");

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

/** Returns an error as programs read it: what `stagedoor-wire` writes. */
function written({ code, message, help, file, line, column, problems, unreported }) {
  return {
    code,
    error: message.split("\n", 1)[0],
    help: help ?? null,
    ...(file !== undefined && { file }),
    ...(line !== undefined && { line }),
    ...(column !== undefined && { column }),
    problems: problems ?? [],
    unreported: unreported ?? 0,
  };
}

/**
 * Makes a test of every file of what programs read and write: byte for byte what the library
 * answers. `rules` is a directory with the rules of the corpus, where there is one.
 */
function shareWireCases({ Engine, Entities }, { rules } = {}) {
  const names = readdirSync(wire).filter((name) => name.endsWith(".json"));
  assert.ok(names.length >= 5);
  for (const file of names) {
    const suite = parse(readFileSync(join(wire, file), "utf8"));
    const skip = suite.rules && !rules && "no rules are here";
    test(`wire: ${file}`, { skip }, () => {
      const expected = readFileSync(join(wire, `${file}l`), "utf8").trimEnd();
      const options = (policies) => ({
        texts: [
          ...(suite.schema
            ? [{ name: "suite.cedarschema", text: suite.schema.join("\n") }]
            : []),
          { name: "suite.cedar", text: policies.join("\n") },
        ],
        ...(suite.platform && { platform: suite.platform }),
        ...(suite.rules && { rules }),
      });
      const engine =
        suite.policies && Engine.loadSync(options(suite.policies));
      const entities =
        engine && Entities.fromJson(print(suite.entities ?? []), engine);
      const answer = ({ decide, explain, load, backstage, query, list }) => {
        if (decide) return engine.decideBatch([decide], entities)[0];
        if (explain) return engine.explain(explain, entities);
        if (query) return engine.query(query, entities);
        if (list) return engine.list(list, entities);
        if (backstage) {
          return engine.decideBackstage(backstage.permission, backstage.user);
        }
        try {
          Engine.loadSync(options(load));
        } catch (error) {
          return written(error);
        }
        throw new Error("the policies load");
      };
      assert.equal(expected.split("\n").length, suite.cases.length);
      expected.split("\n").forEach((line, number) => {
        const told = JSON.stringify(answer(suite.cases[number]));
        const { name } = suite.cases[number];
        const revision = engine?.revision ?? "none";
        assert.equal(told.replaceAll(revision, "REVISION"), line, name);
      });
    });
  }
}

/**
 * Makes a test of every directory that the test program has written: the same policies, revision
 * and problems as everywhere.
 */
function shareDirectories({ Engine }, { hasRules }) {
  const below = process.env.STAGEDOOR_DIRECTORIES;
  const skip = below ? false : "the test program of the package writes them";
  test("directories", { skip }, () => {
    const expected = JSON.parse(
      readFileSync(join(below, "expected.json"), "utf8"),
    ).filter((row) => hasRules || !row.hasRules);
    assert.ok(expected.length >= 50, `${expected.length} rows`);
    for (const { name, directory, platform, sets, told, ...row } of expected) {
      const options = {
        directory,
        ...(platform && { platform }),
        ...(row.hasRules && { rules: join(directory, "rules") }),
      };
      let problems;
      const loaded = [];
      try {
        const engine = Engine.loadSync(options);
        loaded.push([engine.policyCount, engine.revision]);
        problems = engine.warnings;
      } catch (error) {
        assert.equal(error.name, "StagedoorError", `${name}: ${error.stack}`);
        problems = error.problems ?? [error];
      }
      const codes = problems
        .map(({ code }) => code)
        .filter((code) => !/^policy::(warning|validate)$|^conditions::/.test(code));
      assert.deepEqual([loaded, codes.sort()], [sets, told], name);
    }
  });
}

module.exports = { shareCases, shareDirectories, shareWireCases };
