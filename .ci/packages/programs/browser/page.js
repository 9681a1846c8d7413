// A page without a bundler: a decision each way, and what a wrong policy is told.

import { Engine, init } from '@stagedoor/wasm';

const text = source => [{ name: 'shop.cedar', text: source }];

async function answers() {
  await init('/node_modules/@stagedoor/wasm/dist/stagedoor.wasm');
  const schema = {
    name: 'shop.cedarschema',
    text: 'entity User; entity Page; action read appliesTo { principal: User, resource: Page };',
  };
  const texts = [schema, ...text('@id("ana") permit(principal == User::"ana", action, resource);')];
  const engine = Engine.loadSync({ texts });
  const told = ['ana', 'bob'].map(id => {
    const principal = { type: 'User', id };
    const request = { principal, action: 'Action::"read"', resource: 'Page::"home"' };
    return engine.decide(request).decision;
  });
  try {
    Engine.loadSync({ texts: [schema, ...text('permit(')] });
  } catch ({ code }) {
    told.push(code);
  }
  return told.join(' ');
}

answers()
  .catch(error => `${error.code}: ${error.message}`)
  .then(told => (document.body.textContent = told));
