// The engine without an addon. In a browser or at the edge, call `init(fetch(url))` first; Node
// finds the module by itself.
// Run: node examples/decide.mjs
import wasm from '@stagedoor/wasm';

const { Engine } = wasm;

const engine = Engine.loadSync({
  texts: [
    {
      name: 'notes.cedarschema',
      text: `
        entity User;
        entity Note = { owner: User };
        action read appliesTo { principal: User, resource: Note };`,
    },
    {
      name: 'notes.cedar',
      text: '@id("own") permit (principal, action, resource) when { resource.owner == principal };',
    },
  ],
});
const about = owner => ({
  principal: 'User::"ana"',
  action: 'Action::"read"',
  resource: 'Note::"n1"',
  entities: [{ uid: 'Note::"n1"', attrs: { owner: { __entity: { type: 'User', id: owner } } } }],
});
console.log(engine.decide(about('ana')).decision, engine.decide(about('bo')).decision);
console.log(engine.explain(about('bo')).decision);

/* Prints:
allow deny
deny
*/
