// Makes the component of a rule one that a fresh instance is made of fast.

import { COMPONENT } from './binary.js';
import { componentOf, EXPORTS } from './contract.js';
import { linked } from './linking.js';
import { merged } from './merging.js';

/** Returns a component that does what the given one does, with one core module in it. */
export function flattened(component: Uint8Array): Uint8Array {
  if (component.some((byte, at) => at < COMPONENT.length && byte !== COMPONENT[at])) {
    throw new Error('the file is not a component');
  }
  for (const { instances, lifted } of linked(component)) {
    const of = (name: string) => lifted.find(({ function: item }) => item?.name === name);
    const [describe, validate] = [of(EXPORTS.describe), of(EXPORTS.validate)];
    const evaluate = of(EXPORTS.evaluate);
    if (describe !== undefined && validate !== undefined && evaluate !== undefined) {
      return componentOf(
        merged(instances, {
          [EXPORTS.memory]: evaluate.memory,
          [EXPORTS.realloc]: evaluate.realloc,
          [EXPORTS.describe]: describe.function,
          [EXPORTS.describeReturn]: describe.postReturn,
          [EXPORTS.validate]: validate.function,
          [EXPORTS.validateReturn]: validate.postReturn,
          [EXPORTS.evaluate]: evaluate.function,
          [EXPORTS.evaluateReturn]: evaluate.postReturn,
        }),
      );
    }
  }
  throw new Error('the component does not follow the contract');
}
