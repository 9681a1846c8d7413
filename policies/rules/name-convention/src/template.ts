// Templates of names: `{namespace}-<word>-<number>`.
//
// `{field}` stands for what the resource has there, `<class>` for one or more characters of a
// class, and everything else for itself.

/** Characters that a class stands for, by their codes: it is asked of each one of a name. */
const CLASSES: Readonly<Record<string, (code: number) => boolean>> = {
  word: c => (c >= LETTER_A && c <= LETTER_Z) || (c >= DIGIT_0 && c <= DIGIT_9),
  letters: c => c >= LETTER_A && c <= LETTER_Z,
  number: c => c >= DIGIT_0 && c <= DIGIT_9,
  words: c => (c >= LETTER_A && c <= LETTER_Z) || (c >= DIGIT_0 && c <= DIGIT_9) || c === DASH,
};

const LETTER_A = 0x61;
const LETTER_Z = 0x7a;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
const DASH = 0x2d;

type Part =
  | { readonly text: string }
  | { readonly field: string }
  | { readonly some: (code: number) => boolean };

/** Reads a template. Throws what is wrong with it. */
export function parseTemplate(template: string): readonly Part[] {
  let at = 0;
  const parts = (template.match(/\{[^{}<>]+\}|<[^{}<>]+>|[^{}<>]+/g) ?? []).map(part => {
    if (template.startsWith(part, at)) {
      at += part.length;
    }
    return partOf(part);
  });
  if (at < template.length) {
    throw new Error(`the template cannot be read from \`${template.slice(at)}\` on`);
  }
  return parts;
}

function partOf(written: string): Part {
  switch (written[0]) {
    case '{':
      return { field: written.slice(1, -1) };
    case '<':
      return { some: classOf(written.slice(1, -1)) };
    default:
      return { text: written };
  }
}

function classOf(name: string): (code: number) => boolean {
  const some = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  if (some === undefined) {
    throw new Error(
      `the template's \`<${name}>\` is none of <${Object.keys(CLASSES).join('>, <')}>`,
    );
  }
  return some;
}

/**
 * Returns whether a name has the form of a template. Follows all the ways to read it at once:
 * no name takes longer than its length times the template's.
 */
export function matches(
  name: string,
  parts: readonly Part[],
  fieldOf: (field: string) => string,
): boolean {
  // Where what is read so far may end, in order.
  let ends = [0];
  for (const part of parts) {
    const next: number[] = [];
    if ('some' in part) {
      let reached = 0;
      for (const start of ends) {
        // A run of characters is gone over once.
        let at = Math.max(start, reached);
        while (at < name.length && part.some(name.charCodeAt(at))) {
          next.push(++at);
        }
        reached = at;
      }
    } else {
      const text = 'field' in part ? fieldOf(part.field) : part.text;
      for (const start of ends) {
        if (name.startsWith(text, start)) {
          next.push(start + text.length);
        }
      }
    }
    ends = next;
  }
  return ends.at(-1) === name.length;
}
