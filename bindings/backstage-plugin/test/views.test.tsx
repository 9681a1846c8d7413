import { cleanup, render, screen } from '@testing-library/react';
import { afterEach, expect, test } from 'vitest';

import type { Status, WhatIf, Why } from '../src/index.js';
import { Comparison } from '../src/pages/WhatIfPage.js';
import { StatusView } from '../src/pages/StatusPage.js';
import { WhyView } from '../src/pages/WhyPage.js';

afterEach(cleanup);

const place = {
  id: 'owners',
  effect: 'permit' as const,
  file: 'catalog.cedar',
  line: 7,
  doc: 'Owners manage.',
  url: 'https://git.example/catalog.cedar#L7',
};

const why: Why = {
  user: 'user:default/ana',
  permission: 'catalog.entity.delete',
  entity: 'component:default/x',
  revision: 'abcdef',
  result: 'DENY',
  answer: {
    permission: 'catalog.entity.delete',
    plugin: 'catalog',
    resourceType: 'catalog-entity',
    result: 'CONDITIONAL',
    conditions: {},
    words: 'owned by the group',
    policies: [place],
    errors: [],
    findings: [],
  },
  because: [],
  near: [place],
  narrower: false,
  explanation: null,
  residuals: null,
};

test('an ordinary user is told the nearest policies, with links', () => {
  render(<WhyView why={why} />);
  expect(screen.getByText('✕ denied')).toBeTruthy();
  expect(screen.getByText('No policy permits it.')).toBeTruthy();
  const near = screen.getByRole('list', { name: 'Nearest permits' });
  expect(near.textContent).toContain('Owners manage.');
  const link = screen.getByRole('link', { name: 'catalog.cedar:7' });
  expect(link.getAttribute('href')).toBe(place.url);
  expect(screen.queryByText('What every policy says')).toBeNull();
});

const clause = { text: 'resource.tier == "gold"', file: 'a.cedar', line: 3 };
const explanation = {
  decision: 'deny' as const,
  reasons: [],
  errors: [],
  policies: [
    {
      policy: 'gold',
      file: 'a.cedar',
      line: 1,
      doc: null,
      effect: 'permit' as const,
      status: 'not-satisfied' as const,
      failed: clause,
      message: null,
    },
  ],
  nearest: [
    { policy: 'gold', file: 'a.cedar', line: 1, doc: null, failed: [clause] },
  ],
};

test('an explanation without values and changes is shown as it is', () => {
  render(<WhyView why={{ ...why, explanation }} />);
  expect(screen.getByText('What comes nearest')).toBeTruthy();
  expect(screen.getAllByText(clause.text)).toHaveLength(2);
  expect(screen.queryByText('It would be allowed if')).toBeNull();
});

test('values and the smallest change are shown where they are told', () => {
  const values = [{ expression: 'resource.tier', value: '"silver"' }];
  const failed = { ...clause, values };
  const [policy] = explanation.policies;
  const full = {
    ...explanation,
    policies: policy ? [{ ...policy, failed }] : [],
    counterfactuals: [
      {
        changes: [
          {
            subject: 'resource.tier',
            from: '"silver"',
            relation: 'equal' as const,
            to: '"gold"',
          },
        ],
        permits: ['gold'],
      },
    ],
  };
  render(<WhyView why={{ ...why, explanation: full }} />);
  const changes = screen.getByRole('region', { name: 'Smallest changes' });
  expect(changes.textContent).toContain(
    'resource.tier were "gold" (it is "silver"), by gold',
  );
  const said = screen.getByRole('region', { name: 'Policies in question' });
  expect(said.textContent).toContain('resource.tier"silver"');
});

test('what is denied although the policies allow it is warned of', () => {
  render(<WhyView why={{ ...why, narrower: true }} />);
  expect(
    screen.getByText('The policies allow it, and Backstage denies it'),
  ).toBeTruthy();
});

const whatIf: WhatIf = {
  revision: 'a',
  other: 'b',
  unnamed: null,
  policies: { added: ['x'], removed: [], changed: [] },
  meaning: { verdict: 'undecided', undecided: true, rows: [], schema: [] },
  rows: [],
  asked: 10,
  leftOut: 5,
  widened: 0,
  narrowed: 0,
};

test('what is not decided and not asked is said', () => {
  render(<Comparison whatIf={whatIf} />);
  expect(
    screen.getByText('Whether anything changes is not decided.'),
  ).toBeTruthy();
  expect(screen.getByTestId('asked').textContent).toContain(
    '5 more were not asked',
  );
  cleanup();
  render(<Comparison whatIf={{ ...whatIf, meaning: null }} />);
  expect(screen.getByText('Nothing is known for all requests')).toBeTruthy();
});

const status: Status = {
  policies: { ok: false, failure: 'a.cedar:1:1: oops' },
  shadow: { ok: false, revision: 'old', failure: 'b.cedar:2: oops' },
  shadowDifferences: 3,
  latestDifferences: [
    {
      user: 'user:default/ana',
      permission: 'x',
      result: 'ALLOW',
      policies: ['a'],
      shadowResult: 'DENY',
      shadowPolicies: [],
    },
  ],
  notices: { 'permission::unknown': 2 },
  told: [{ code: 'permission::unknown', message: 'unknown x', times: 2 }],
  plugins: ['catalog'],
  catalogRule: null,
};

test('the status says what is not in force, and what was noticed', () => {
  render(<StatusView status={status} />);
  expect(
    screen.getByText('The policies are not in force: everything is denied'),
  ).toBeTruthy();
  expect(
    screen.getByText(
      'The shadow policies in force are not those of the directory',
    ),
  ).toBeTruthy();
  expect(screen.getByRole('list', { name: 'Notices' }).textContent).toContain(
    'unknown x (2 times)',
  );
  expect(
    screen.getByText('user:default/ana x: ALLOW by a, but DENY by no policy'),
  ).toBeTruthy();
});
