import { defineRule, no, yes } from '@stagedoor/rule-sdk';

export default defineRule({
  name: 'on-call',
  version: '1.0.0',
  inputs: ['principal'],
  arguments: {
    type: 'object',
    required: ['people'],
    properties: { people: { type: 'array', items: { type: 'string' } } },
  },
  evaluate({ principal }, { people }) {
    const who = principal.uid.id;
    return people.includes(who) ? yes() : no(`${who} is not on call`);
  },
});
