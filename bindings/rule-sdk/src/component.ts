// The rule as a component: the build calls it, nobody else has to.

import { readRecord, type CedarRecord, type Entity, type EntityUid } from './cedar.js';
import type { Input, Rule } from './rule.js';
import type { ObjectSchema } from './schema.js';

interface WireEntity {
  uid: EntityUid;
  attributes: string;
  tags: string;
  ancestors: EntityUid[];
}

interface WireRequest {
  principal: WireEntity | null;
  action: EntityUid | null;
  resource: WireEntity | null;
  context: string | null;
  related: WireEntity[];
  arguments: string;
}

interface Guard {
  describe(): {
    name: string;
    version: string;
    inputs: Record<Input, boolean>;
    argumentsSchema: string;
  };
  validate(args: string): void;
  evaluate(request: WireRequest): { holds: boolean; reason: string | null };
}

/** Returns what the contract's `guard` exports. */
export function guardOf<I extends Input, S extends ObjectSchema>(rule: Rule<I, S>): Guard {
  takeAwayWhatVaries();
  const looksAt = (input: Input) => (rule.inputs as readonly Input[]).includes(input);
  return {
    describe: () => ({
      name: rule.name,
      version: rule.version,
      inputs: {
        principal: looksAt('principal'),
        action: looksAt('action'),
        resource: looksAt('resource'),
        context: looksAt('context'),
      },
      argumentsSchema: JSON.stringify(rule.arguments),
    }),
    validate: args => {
      try {
        rule.validate?.(argumentsOf(args));
      } catch (error) {
        throw told(error);
      }
    },
    evaluate: wire => {
      try {
        // The host has held the arguments to the schema.
        const verdict = rule.evaluate(new RequestReader(wire), argumentsOf(wire.arguments));
        if (typeof verdict?.holds !== 'boolean') {
          throw new Error('the rule gave no verdict');
        }
        return { holds: verdict.holds, reason: verdict.reason ?? null };
      } catch (error) {
        throw told(error);
      }
    },
  };
}

/** Returns an error as the contract has it, which is text. */
function told(error: unknown): Error {
  return (error instanceof Error ? error.message : String(error)) as unknown as Error;
}

function argumentsOf<A>(json: string): A {
  return readRecord(json) as A;
}

/** A request, read as far as the rule looks at it, and once. */
class RequestReader {
  private readEntities: { principal?: Entity; resource?: Entity } = {};
  private readContext: CedarRecord | undefined;

  constructor(private readonly wire: WireRequest) {}

  get principal(): Entity {
    return (this.readEntities.principal ??= new EntityReader(
      declared(this.wire.principal, 'principal'),
    ));
  }

  get action(): EntityUid {
    return declared(this.wire.action, 'action');
  }

  get resource(): Entity {
    return (this.readEntities.resource ??= new EntityReader(
      declared(this.wire.resource, 'resource'),
    ));
  }

  get context(): CedarRecord {
    return (this.readContext ??= readRecord(declared(this.wire.context, 'context')));
  }

  /** Rules may take it out of the request: it knows what it belongs to. */
  readonly related = (uid: EntityUid): Entity | undefined => {
    const found = this.wire.related.find(
      ({ uid: { type, id } }) => type === uid.type && id === uid.id,
    );
    return found && new EntityReader(found);
  };
}

function declared<T>(input: T | null | undefined, name: Input): T {
  if (input === null || input === undefined) {
    throw new Error(`the rule looks at the ${name} without declaring it`);
  }
  return input;
}

class EntityReader implements Entity {
  private readAttributes: CedarRecord | undefined;
  private readTags: CedarRecord | undefined;

  constructor(private readonly wire: WireEntity) {}

  get uid(): EntityUid {
    return this.wire.uid;
  }

  get ancestors(): readonly EntityUid[] {
    return this.wire.ancestors;
  }

  get attributes(): CedarRecord {
    return (this.readAttributes ??= readRecord(this.wire.attributes));
  }

  get tags(): CedarRecord {
    return (this.readTags ??= readRecord(this.wire.tags));
  }
}

/** A rule is a function of its inputs: what varies is missing, and says so. */
function takeAwayWhatVaries() {
  const missing = (what: string) => () => {
    throw new Error(`a rule has no ${what}: what varies comes in the request's context`);
  };
  const clock = missing('clock');
  Math.random = missing('randomness');
  const Dates = Date;
  Dates.now = clock;
  globalThis.Date = new Proxy(Dates, {
    apply: clock,
    construct: (target, args, newTarget) =>
      args.length === 0 ? clock() : (Reflect.construct(target, args, newTarget) as Date),
  });
  Dates.prototype.constructor = globalThis.Date;
  for (const name of ['performance', 'crypto', 'setTimeout', 'setInterval']) {
    Reflect.deleteProperty(globalThis, name);
  }
}
