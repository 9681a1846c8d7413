'use strict';

// What people read: conditions in words, and where policies stand.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const { PolicyLinks } = require('../dist/policyLinks.js');
const { inWords } = require('../dist/words.js');

const rule = (name, params) => ({ rule: name, resourceType: 'x', params });
const owner = rule('IS_ENTITY_OWNER', { claims: ['group:a', 'user:b'] });
const api = rule('IS_ENTITY_KIND', { kinds: ['api'] });
const hidden = rule('HAS_ANNOTATION', { annotation: 'a/b', value: 'owners' });

test('conditions are said in words, with parentheses where they are needed', () => {
  for (const [criteria, words] of [
    [owner, 'owned by group:a or user:b'],
    [api, 'of kind api'],
    [hidden, 'annotated a/b = owners'],
    [rule('HAS_SPEC', { key: 'lifecycle' }), 'with spec.lifecycle'],
    [rule('HAS_METADATA', { key: 'tags.x' }), 'with metadata.tags.x'],
    [rule('HAS_LABEL', { label: 'a', value: '' }), 'labelled a = '],
    [rule('HAS_TAG', { tag: 'x' }), 'tagged x'],
    [rule('HAS_ACTION_ID', { actionId: 'a:b' }), 'running a:b'],
    [
      rule('HAS_BOOLEAN_PROPERTY', { key: 'k', value: false }),
      'with input k = false',
    ],
    [rule('IS_TASK_OWNER', { createdBy: ['user:b'] }), 'started by user:b'],
    [rule('IS_ENTITY_OWNER', { claims: [] }), 'owned by nobody'],
    [
      rule('IS_ENTITY_OWNER', { claims: [...'abcdefg'] }),
      'owned by a, b, c, d and 3 more',
    ],
    [{ not: hidden }, 'not annotated a/b = owners'],
    [{ anyOf: [owner, api] }, 'owned by group:a or user:b or of kind api'],
    [
      { allOf: [{ anyOf: [api, hidden] }, owner] },
      '(of kind api or annotated a/b = owners) and owned by group:a or user:b',
    ],
    [
      { not: { allOf: [api, hidden] } },
      'not (of kind api and annotated a/b = owners)',
    ],
    [
      { anyOf: [{ allOf: [api] }, hidden] },
      'of kind api or annotated a/b = owners',
    ],
    [
      rule('PRIORITY_AT_LEAST', { priority: 3 }),
      'PRIORITY_AT_LEAST(priority: 3)',
    ],
    [rule('IS_DONE', {}), 'IS_DONE'],
    // A rule of any name is only told.
    [rule('constructor', {}), 'constructor'],
    [rule('toString', { a: ['x', 'y'] }), 'toString(a: x or y)'],
  ]) {
    assert.equal(inWords(criteria), words);
  }
  const naming = reference =>
    reference === 'group:a' ? 'the group' : 'others';
  assert.equal(inWords(owner, naming), 'owned by the group or others');
});

test('files are told as paths below their directory, with links', () => {
  const links = new PolicyLinks(
    [{ directory: '/srv/policies' }, { bundle: '/srv/b' }],
    'https://git.example/{file}#L{line}',
  );
  const told = links.told({
    policies: [{ id: 'a', file: '/srv/policies/team x/a#b.cedar', line: 7 }],
    nested: { clause: { file: '/srv/policies/b.cedar', line: null } },
    others: [
      { file: '/etc/passwd', line: 1 },
      { file: '/srv/policies', line: 1 },
      { file: '/srv/policies/../x', line: 1 },
      { file: 'no place' },
      { file: null, line: null },
    ],
    number: 3,
    nothing: null,
  });
  assert.deepEqual(told, {
    policies: [
      {
        id: 'a',
        file: 'team x/a#b.cedar',
        line: 7,
        url: 'https://git.example/team%20x/a%23b.cedar#L7',
      },
    ],
    nested: {
      clause: {
        file: 'b.cedar',
        line: null,
        url: 'https://git.example/b.cedar#L1',
      },
    },
    others: [
      { file: '/etc/passwd', line: 1 },
      { file: '/srv/policies', line: 1 },
      { file: '/srv/policies/../x', line: 1 },
      { file: 'no place' },
      { file: null, line: null },
    ],
    number: 3,
    nothing: null,
  });
  const plain = new PolicyLinks([{ directory: '/srv' }]);
  assert.deepEqual(plain.told({ file: '/srv/a.cedar', line: 1 }), {
    file: 'a.cedar',
    line: 1,
  });
});
