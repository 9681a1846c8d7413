import { Engine, init, initSync } from '@stagedoor/wasm';
import module from '@stagedoor/wasm/stagedoor.wasm';

await init(module);
await init(new URL('https://example.org/stagedoor.wasm'));
if (module instanceof WebAssembly.Module) initSync(module);
const decision: 'allow' | 'deny' = Engine.loadSync({ texts: [] }).decide({
  principal: 'User::"ana"',
  action: 'Action::"read"',
  resource: 'Note::"n1"',
}).decision;
console.log(decision);

// @ts-expect-error -- the module is not text
const text: string = module;
console.log(text);
