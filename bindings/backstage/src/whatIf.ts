import type { PolicyComparison, SourceText } from '@stagedoor/node';

import { engineOf } from './access';
import type { Policies } from './policies';
import { Unanswerable } from './why';

/** So many policies' files are taken. */
const FILES = 50;
/** So many characters have all of them. */
const CHARACTERS = 200_000;
/** So many requests of the catalog's users are decided by both policy sets. */
const REQUESTS = 100_000;

/** Policies that are pasted in. */
export interface Draft {
  readonly files: readonly SourceText[];
  /** Whether they are added to those in force, or take their place. */
  readonly mode: 'beside' | 'instead';
}

/** What other policies would change. */
export interface WhatIf extends PolicyComparison {
  readonly revision: string;
  /** The revision of the others. */
  readonly other: string;
  /** Why changes have no names of users and entities, if they have none. */
  readonly unnamed: string | null;
}

/** Answers what other policies would change. Nothing that it does is enforced. */
export class Comparisons {
  readonly #policies: Policies;
  readonly #shadow: Policies | undefined;

  constructor(policies: Policies, shadow: Policies | undefined) {
    this.#policies = policies;
    this.#shadow = shadow;
  }

  /** What the shadow policies would change; nothing if there are none. */
  async ofShadow(catalog: string): Promise<WhatIf | undefined> {
    return this.#shadow && this.#compared(engineOf(this.#shadow), catalog);
  }

  /** What a draft would change. Rejects with everything that is wrong about it. */
  async ofDraft(draft: Draft, catalog: string): Promise<WhatIf> {
    const engine = await this.#policies.loadDraft(draft);
    try {
      return await this.#compared(engine, catalog);
    } finally {
      engine.close();
    }
  }

  async #compared(
    other: ReturnType<typeof engineOf>,
    catalog: string,
  ): Promise<WhatIf> {
    const engine = engineOf(this.#policies);
    const [revision, others] = [engine.revision, other.revision];
    let unnamed: string | null = null;
    let compared: PolicyComparison;
    try {
      compared = await engine.compareBackstage(other, catalog, REQUESTS);
    } catch (error) {
      // One odd entity of the catalog must not keep the policies from being compared.
      unnamed = `the catalog cannot be read: ${String(error)}`;
      compared = await engine.compareBackstage(other, null, 0);
    }
    return { revision, other: others, unnamed, ...compared };
  }
}

/** Reads a draft; throws what is wrong with it. */
export function readDraft(text: string): Draft {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Unanswerable('the body is not JSON');
  }
  const { files, mode = 'beside' } = (json ?? {}) as Record<string, unknown>;
  if (mode !== 'beside' && mode !== 'instead') {
    throw new Unanswerable('mode is neither beside nor instead');
  }
  if (!Array.isArray(files) || files.length < 1 || files.length > FILES) {
    throw new Unanswerable(`files is not a list of 1 to ${FILES} {name, text}`);
  }
  const read = files.map((file: unknown): SourceText => {
    const { name, text: content } = (file ?? {}) as Record<string, unknown>;
    if (typeof name !== 'string' || !/^[\w.-]{1,100}\.cedar$/.test(name)) {
      throw new Unanswerable('a file has no name that ends in .cedar');
    }
    if (typeof content !== 'string') {
      throw new Unanswerable(`${name} has no text`);
    }
    return { name: `(pasted) ${name}`, text: content };
  });
  const size = read.reduce((sum, each) => sum + each.text.length, 0);
  if (size > CHARACTERS) {
    throw new Unanswerable(
      `the files have ${size} characters; the limit is ${CHARACTERS}`,
    );
  }
  return { files: read, mode };
}
