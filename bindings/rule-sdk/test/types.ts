// Types follow from what a rule declares: the compiler is the test.

import { ask, defineRule, yes, type ArgumentsOf } from '../src/index.js';

const rule = defineRule({
  name: 'typed',
  version: '1',
  inputs: ['action', 'context'],
  arguments: {
    type: 'object',
    required: ['days', 'hours'],
    properties: {
      days: { type: 'array', items: { type: 'string', enum: ['mon', 'tue'] } },
      hours: { type: 'integer' },
      note: { type: 'string' },
      labels: { type: 'object', additionalProperties: { type: 'boolean' } },
    },
  },
  evaluate(request, args) {
    const days: readonly ('mon' | 'tue')[] = args.days;
    const hours: number = args.hours;
    const note: string | undefined = args.note;
    const label: boolean | undefined = args.labels?.['a'];
    // @ts-expect-error the rule does not declare the principal
    void request.principal;
    // @ts-expect-error the schema has no such argument
    void args.minutes;
    return yes([days, hours, note, label, request.action.id].join());
  },
});

// @ts-expect-error `hours` is required
ask(rule, { action: { type: 'Action', id: 'a' }, context: {} }, { days: ['mon'] });
// @ts-expect-error `sun` is none of the days
ask(rule, { action: { type: 'Action', id: 'a' }, context: {} }, { days: ['sun'], hours: 1 });
export type Anything = ArgumentsOf<{ type: 'object'; additionalProperties: true }>;
