// Templates of names: `{namespace}-<word>-<number>`.
//
// `{field}` stands for what the resource has there, `<class>` for one or more characters of a
// class, and everything else for itself.

/** Characters that a class stands for. */
const CLASSES: Readonly<Record<string, (character: string) => boolean>> = {
  word: c => (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'),
  letters: c => c >= 'a' && c <= 'z',
  number: c => c >= '0' && c <= '9',
  words: c => (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c === '-',
};

type Part =
  | { readonly text: string }
  | { readonly field: string }
  | { readonly some: (character: string) => boolean };

/** Reads a template. Throws what is wrong with it. */
export function parseTemplate(template: string): readonly Part[] {
  const parts: Part[] = [];
  let rest = template;
  while (rest !== '') {
    const found = /^(?:\{([^{}<>]+)\}|<([^{}<>]+)>|([^{}<>]+))/.exec(rest);
    if (found === null) {
      throw new Error(`the template cannot be read from \`${rest}\` on`);
    }
    const [whole, field, name, text] = found;
    rest = rest.slice(whole.length);
    if (field !== undefined) {
      parts.push({ field });
    } else if (name !== undefined) {
      parts.push({ some: classOf(name) });
    } else if (text !== undefined) {
      parts.push({ text });
    }
  }
  return parts;
}

function classOf(name: string): (character: string) => boolean {
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
  let ends = new Set([0]);
  for (const part of parts) {
    const next = new Set<number>();
    if ('some' in part) {
      // Sorted, so that a run of characters is gone over once.
      let reached = 0;
      for (const start of ends) {
        for (
          let at = Math.max(start, reached);
          at < name.length && part.some(name.charAt(at));
          at++
        ) {
          next.add(at + 1);
          reached = at + 1;
        }
      }
    } else {
      const text = 'field' in part ? fieldOf(part.field) : part.text;
      for (const start of ends) {
        if (name.startsWith(text, start)) {
          next.add(start + text.length);
        }
      }
    }
    ends = next;
  }
  return ends.has(name.length);
}
