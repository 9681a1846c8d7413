// JSON schemas of arguments, and the types that follow from them.
//
// Here are the keywords that the host knows. It refuses a rule with any other, rather than
// leave what it says unchecked.

interface Annotations {
  readonly title?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
}

/** An object. What is not among its `properties` is an error, unless it is allowed. */
export interface ObjectSchema extends Annotations {
  readonly type: 'object';
  readonly properties?: { readonly [name: string]: Schema };
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
}

/** A list. */
export interface ArraySchema extends Annotations {
  readonly type: 'array';
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
}

/** A text; lengths are in characters. */
export interface StringSchema extends Annotations {
  readonly type: 'string';
  readonly enum?: readonly string[];
  readonly minLength?: number;
  readonly maxLength?: number;
}

/** A number. */
export interface NumberSchema extends Annotations {
  readonly type: 'integer' | 'number';
  readonly enum?: readonly number[];
  readonly minimum?: number;
  readonly maximum?: number;
}

/** True or false. */
export interface BooleanSchema extends Annotations {
  readonly type: 'boolean';
}

/** What a policy may say in `@guard_args`, or in a part of it. */
export type Schema = ObjectSchema | ArraySchema | StringSchema | NumberSchema | BooleanSchema;

/** The type of what a schema lets through. */
export type ArgumentsOf<S> = S extends { readonly type: 'object' }
  ? ObjectOf<S>
  : S extends { readonly type: 'array' }
    ? readonly (S extends { readonly items: infer Items } ? ArgumentsOf<Items> : unknown)[]
    : S extends { readonly enum: readonly (infer Values)[] }
      ? Values
      : S extends { readonly type: 'string' }
        ? string
        : S extends { readonly type: 'integer' | 'number' }
          ? number
          : S extends { readonly type: 'boolean' }
            ? boolean
            : unknown;

type Properties<S> = S extends { readonly properties: infer P } ? P : Record<never, never>;

type Required<S> = S extends { readonly required: readonly (infer Names)[] } ? Names : never;

type Others<S> = S extends { readonly additionalProperties: infer Each }
  ? Each extends false
    ? unknown
    : { readonly [name: string]: Each extends true ? unknown : ArgumentsOf<Each> }
  : unknown;

type ObjectOf<S> = {
  readonly [Name in keyof Properties<S> as Name extends Required<S> ? Name : never]: ArgumentsOf<
    Properties<S>[Name]
  >;
} & {
  readonly [Name in keyof Properties<S> as Name extends Required<S> ? never : Name]?: ArgumentsOf<
    Properties<S>[Name]
  >;
} & Others<S>;
