import { Engine } from '@stagedoor/wasm';

const texts = [
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
];

/** Loads the policy, and decides about a note of ana's and one of bo's. */
export function answers() {
  const engine = Engine.loadSync({ texts });
  const mayRead = owner =>
    engine.decide({
      principal: 'User::"ana"',
      action: 'Action::"read"',
      resource: 'Note::"n1"',
      entities: [
        { uid: 'Note::"n1"', attrs: { owner: { __entity: { type: 'User', id: owner } } } },
      ],
    });
  return ['ana', 'bo'].map(owner => mayRead(owner).decision).join(' ');
}
