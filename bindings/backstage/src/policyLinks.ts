import { isAbsolute, relative } from 'node:path';

import type { PolicySource } from './policies';

/** A place in a file, as answers tell it. */
interface FilePlace {
  file?: unknown;
  line?: unknown;
}

/**
 * Tells where policies stand: below their directory, whichever machine that is on, and where they
 * can be read, if the settings say so.
 */
export class PolicyLinks {
  readonly #directories: string[];
  readonly #template: string | undefined;

  /**
   * `template` is an address with `{file}` and `{line}`, such as
   * `https://git.example/acme/policies/blob/main/{file}#L{line}`.
   */
  constructor(sources: readonly PolicySource[], template?: string) {
    this.#directories = sources.flatMap(source =>
      'directory' in source ? [source.directory] : [],
    );
    this.#template = template;
  }

  /** Returns an answer in which files are told so, with a `url` beside each. */
  told(answer: unknown): unknown {
    if (Array.isArray(answer)) return answer.map(each => this.told(each));
    if (typeof answer !== 'object' || answer === null) return answer;
    const fields = Object.entries(answer).map(
      ([name, value]): [string, unknown] => [name, this.told(value)],
    );
    const { file, line } = answer as FilePlace;
    if (typeof file !== 'string' || line === undefined) {
      return Object.fromEntries(fields);
    }
    const below = this.#below(file);
    const url = below === undefined ? undefined : this.#url(below, line);
    return { ...Object.fromEntries(fields), file: below ?? file, ...url };
  }

  /** Returns a file's path below its directory; nothing if it is in none of them. */
  #below(file: string): string | undefined {
    for (const directory of this.#directories) {
      const path = relative(directory, file);
      if (path && !path.startsWith('..') && !isAbsolute(path)) {
        return path.replaceAll('\\', '/');
      }
    }
    return undefined;
  }

  #url(file: string, line: unknown): { url: string } | undefined {
    if (this.#template === undefined) return undefined;
    const path = file.split('/').map(encodeURIComponent).join('/');
    const number = typeof line === 'number' ? `${line}` : '1';
    return {
      url: this.#template
        .replaceAll('{file}', () => path)
        .replaceAll('{line}', () => number),
    };
  }
}
