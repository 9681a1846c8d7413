import { Refusal } from './refusal';

/** No reference and no name is longer. */
const LENGTH = 500;
/** Returns a parameter of a question, if it is given. */
export function parameter(
  query: URLSearchParams,
  name: string,
): string | undefined {
  const values = query.getAll(name);
  if (values.length > 1) throw new Refusal(400, `${name} is given twice`);
  const [value] = values;
  if (value !== undefined && (value === '' || value.length > LENGTH)) {
    throw new Refusal(400, `${name} is empty or too long`);
  }
  return value;
}

/** Returns a parameter that must be given. */
export function required(query: URLSearchParams, name: string): string {
  const value = parameter(query, name);
  if (value === undefined) throw new Refusal(400, `${name} is missing`);
  return value;
}

/** Returns a parameter that is a number. */
export function count(
  query: URLSearchParams,
  name: string,
  otherwise: number,
): number {
  const value = parameter(query, name);
  if (value === undefined) return otherwise;
  if (!/^\d{1,9}$/.test(value))
    throw new Refusal(400, `${name} is not a number`);
  return Number(value);
}
