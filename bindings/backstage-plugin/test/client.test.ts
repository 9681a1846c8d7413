import { expect, test, vi } from 'vitest';

import { StagedoorApiError, StagedoorClient } from '../src/api.js';

function client(status: number, body: string) {
  const asked: [string, RequestInit | undefined][] = [];
  const fetch = vi.fn((url: string, init?: RequestInit) => {
    asked.push([url, init]);
    return Promise.resolve(new Response(body, { status }));
  });
  const made = new StagedoorClient({
    discoveryApi: {
      getBaseUrl: plugin => Promise.resolve(`https://b/api/${plugin}`),
    },
    fetchApi: { fetch: fetch as unknown as typeof globalThis.fetch },
  });
  return { made, asked };
}

test('questions are asked of the permission plugin, without what is empty', async () => {
  const { made, asked } = client(200, '{}');
  await made.why({ permission: 'a.b', entity: '', user: 'user:default/é&' });
  await made.me();
  await made.grid({ offset: 0, limit: 30 });
  expect(asked.map(([url]) => url)).toEqual([
    'https://b/api/permission/stagedoor/v1/why?permission=a.b&user=user%3Adefault%2F%C3%A9%26',
    'https://b/api/permission/stagedoor/v1/me',
    'https://b/api/permission/stagedoor/v1/grid?offset=0&limit=30',
  ]);
});

test('policies are posted', async () => {
  const { made, asked } = client(200, '{}');
  const files = [
    { name: 'a.cedar', text: 'permit (principal, action, resource);' },
  ];
  await made.whatIf({ files, mode: 'beside' });
  const [[url, init] = []] = asked;
  expect([url, init?.method, JSON.parse(init?.body as string)]).toEqual([
    'https://b/api/permission/stagedoor/v1/what-if',
    'POST',
    { files, mode: 'beside' },
  ]);
});

test('a refusal says why, whoever words it', async () => {
  const problem = { severity: 'error', code: 'c', message: 'm' };
  for (const [body, message, problems] of [
    ['{"error":"no"}', 'no', []],
    [
      '{"error":"no","problems":[{"severity":"error","code":"c","message":"m"}]}',
      'no',
      [problem],
    ],
    ['{"error":{"name":"X","message":"by Backstage"}}', 'by Backstage', []],
    ['<html>', 'the backend answered 403', []],
  ] as const) {
    const { made } = client(403, body);
    const error = await made.status().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StagedoorApiError);
    expect(error).toMatchObject({ message, status: 403, problems });
  }
});
