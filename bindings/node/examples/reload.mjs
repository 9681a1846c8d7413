// Policies change while the program runs. What does not load changes nothing.
// Run: node examples/reload.mjs
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Engine } from '@stagedoor/node';

const directory = await mkdtemp(join(tmpdir(), 'stagedoor-example-'));
const write = policies => writeFile(join(directory, 'app.cedar'), policies);
await writeFile(
  join(directory, 'app.cedarschema'),
  'entity User, Doc; action read appliesTo { principal: User, resource: Doc };',
);
await write('permit (principal, action, resource);');

const engine = await Engine.load({ directory });
const request = { principal: 'User::"ana"', action: 'Action::"read"', resource: 'Doc::"plan"' };
console.log('at first:', engine.isAllowed(request));

await write('permit (principal, action, resource'); // cut off
try {
  await engine.reload();
} catch (error) {
  console.log('refused:', error.code, `line ${error.line}`);
}
console.log('still:', engine.isAllowed(request));

await write('forbid (principal == User::"ana", action, resource);');
const { changed } = await engine.reload();
console.log('changed:', changed, 'now:', engine.isAllowed(request));
await rm(directory, { recursive: true });

/* Prints:
at first: true
refused: policy::parse line 1
still: true
changed: true now: false
*/
