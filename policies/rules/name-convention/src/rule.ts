// `name-convention`: a resource's name against a template.
//
//     @guard("name-convention")
//     @guard_args("template: '{namespace}-<words>'")
//     permit (principal, action == k8s::admission::Action::"create", resource);
//
// It says yes if the name has the form of one of the templates. In a template, `{field}` is what
// the resource has in an attribute or tag of this name, `{/metadata/labels/team}` what the object
// under admission has there, and `<word>`, `<words>`, `<letters>` and `<number>` are one or more
// characters: `a-z0-9`, `a-z0-9-`, `a-z` and `0-9`. The name is the resource's attribute `name`
// unless `field` names another one.
//
// A field that is not there, or has several values, is an error: the guard fails closed.

import {
  defineRule,
  entityOf,
  no,
  yes,
  type CedarRecord,
  type Entity,
  type Request,
  type Value,
} from '@stagedoor/rule-sdk';

import { matches, parseTemplate } from './template.js';

const template = { type: 'string', minLength: 1, maxLength: 256 } as const;

export default defineRule({
  name: 'name-convention',
  version: '0.1.0',
  inputs: ['resource'],
  arguments: {
    type: 'object',
    properties: {
      template: { ...template, description: 'The form of the name: `{namespace}-<words>`.' },
      templates: {
        type: 'array',
        description: 'In place of `template`: forms of which one is enough.',
        minItems: 1,
        maxItems: 16,
        items: template,
      },
      field: { type: 'string', description: 'What holds the name; `name` if left out.' },
      maxLength: { type: 'integer', minimum: 1, maximum: 253 },
    },
  },

  validate(args) {
    formsOf(args).forEach(parseTemplate);
  },

  evaluate(request, { template, templates, field = 'name', maxLength = 253 }) {
    const forms = formsOf({ template, templates });
    const name = textOf(request, field);
    if (name.length > maxLength) {
      return no(`the name is longer than ${maxLength} characters`);
    }
    const fits = forms.some(form =>
      matches(name, parseTemplate(form), field => textOf(request, field)),
    );
    return fits ? yes() : no(`\`${name}\` has not the form ${forms.join(' or ')}`);
  },
});

/** Returns the templates of which one is enough. */
function formsOf(args: {
  readonly template?: string | undefined;
  readonly templates?: readonly string[] | undefined;
}): readonly string[] {
  const { template, templates } = args;
  if ((template === undefined) === (templates === undefined)) {
    throw new Error('either `template` or `templates` is needed');
  }
  return templates ?? [template ?? ''];
}

/** Returns the one text that a resource, or the object under admission, has in a field. */
function textOf(request: Request<'resource'>, field: string): string {
  const value = field.startsWith('/')
    ? get(admitted(request).tags, field)
    : (get(request.resource.attributes, field) ?? get(request.resource.tags, field));
  const values: readonly Value[] = Array.isArray(value) ? value : [value ?? []];
  const [only] = values;
  if (values.length !== 1 || typeof only !== 'string' || only === '') {
    throw new Error(`the resource has no single text \`${field}\``);
  }
  return only;
}

function get(record: CedarRecord, name: string): Value | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function admitted(request: Request<'resource'>): Entity {
  const uid = entityOf(request.resource.attributes['object']);
  const object = uid && request.related(uid);
  if (!object) {
    throw new Error('there is no object under admission');
  }
  return object;
}
