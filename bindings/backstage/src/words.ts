import type { BackstageCondition, BackstageCriteria } from '@stagedoor/node';

/** So many names are told of a list. */
const NAMED = 4;

/** What names stand for in words: `owned by the group`. */
export type Naming = (reference: string) => string;

/**
 * Says in words which resources criteria mean: `owned by group:default/web and not of kind api`.
 *
 * For people to read. The criteria themselves are what counts.
 */
export function inWords(
  criteria: BackstageCriteria,
  naming: Naming = reference => reference,
): string {
  return said(criteria, naming, 'none');
}

function said(
  criteria: BackstageCriteria,
  naming: Naming,
  within: 'none' | 'and' | 'or',
): string {
  if ('not' in criteria) {
    const inner = said(criteria.not, naming, 'none');
    return 'rule' in criteria.not ? `not ${inner}` : `not (${inner})`;
  }
  if ('rule' in criteria) return ofRule(criteria, naming);
  const [word, items] =
    'allOf' in criteria
      ? (['and', criteria.allOf] as const)
      : (['or', criteria.anyOf] as const);
  const parts = items.map(item =>
    said(item, naming, items.length > 1 ? word : within),
  );
  const text = parts.join(` ${word} `);
  const needsParentheses =
    items.length > 1 && within !== 'none' && within !== word;
  return needsParentheses ? `(${text})` : text;
}

/** The rules of the official plugins; others are told by their names. */
const RULES: Record<string, (params: Params) => string | undefined> = {
  IS_ENTITY_KIND: ({ list }) => `of kind ${list('kinds')}`,
  IS_ENTITY_OWNER: ({ list }) => `owned by ${list('claims')}`,
  HAS_ANNOTATION: ({ text, is }) => `annotated ${text('annotation')}${is()}`,
  HAS_LABEL: ({ text, is }) => `labelled ${text('label')}${is()}`,
  HAS_METADATA: ({ text, is }) => `with metadata.${text('key')}${is()}`,
  HAS_SPEC: ({ text, is }) => `with spec.${text('key')}${is()}`,
  HAS_TAG: ({ text }) => `tagged ${text('tag')}`,
  HAS_ACTION_ID: ({ text }) => `running ${text('actionId')}`,
  HAS_BOOLEAN_PROPERTY: ({ text, is }) => `with input ${text('key')}${is()}`,
  HAS_NUMBER_PROPERTY: ({ text, is }) => `with input ${text('key')}${is()}`,
  HAS_STRING_PROPERTY: ({ text, is }) => `with input ${text('key')}${is()}`,
  IS_TASK_OWNER: ({ list }) => `started by ${list('createdBy')}`,
  IS_OWNER: ({ list }) => `owned by ${list('owners')}`,
};

interface Params {
  readonly text: (name: string) => string;
  readonly list: (name: string) => string;
  /** What the value must be, where one is stated. */
  readonly is: () => string;
}

function ofRule({ rule, params }: BackstageCondition, naming: Naming): string {
  const known = Object.hasOwn(RULES, rule) ? RULES[rule] : undefined;
  const text = (name: string) => String(params[name] ?? '');
  const words = known?.({
    text,
    list: name => listed(params[name], naming),
    is: () => (params.value === undefined ? '' : ` = ${text('value')}`),
  });
  if (words) return words;
  const told = Object.entries(params).map(
    ([name, value]) => `${name}: ${listed(value, naming)}`,
  );
  return told.length ? `${rule}(${told.join(', ')})` : rule;
}

function listed(value: unknown, naming: Naming): string {
  if (!Array.isArray(value)) return String(value);
  // Several may go by the same words.
  const names = [...new Set(value.map(each => naming(String(each))))];
  const shown = names.slice(0, NAMED);
  const more = names.length - shown.length;
  if (more > 0) return `${shown.join(', ')} and ${more} more`;
  const last = shown.pop() ?? 'nobody';
  return shown.length ? `${shown.join(', ')} or ${last}` : last;
}
