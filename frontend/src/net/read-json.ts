/** Readers: check JSON from outside once, where it comes in, and give it its type. */
import { BadReply } from "./api-error";

export type Json = unknown;
export type Reader<T> = (value: Json, where: string) => T;

export const readString: Reader<string> = (value, where) => (typeof value === "string" ? value : fail(where));

export const readNumber: Reader<number> = (value, where) =>
  typeof value === "number" && Number.isFinite(value) ? value : fail(where);

export const readBoolean: Reader<boolean> = (value, where) =>
  typeof value === "boolean" ? value : fail(where);

export function nullable<T>(reader: Reader<T>): Reader<T | null> {
  return (value, where) => (value === null || value === undefined ? null : reader(value, where));
}

export function listOf<T>(reader: Reader<T>): Reader<readonly T[]> {
  return (value, where) =>
    Array.isArray(value) ? value.map((each: Json, index) => reader(each, `${where}[${index}]`)) : fail(where);
}

export function oneOf<const T extends string>(...choices: readonly T[]): Reader<T> {
  return (value, where) => choices.find((choice) => choice === value) ?? fail(where);
}

/** Read an object field by field; fields without a reader are left out. */
export function objectOf<T>(readers: { readonly [Key in keyof T]: Reader<T[Key]> }): Reader<T> {
  const names = Object.keys(readers) as (keyof T & string)[];
  return (value, where) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return fail(where);
    const source = value as Record<string, Json>;
    const target: Partial<T> = {};
    for (const name of names) target[name] = readers[name](source[name], `${where}.${name}`);
    return target as T;
  };
}

function fail(where: string): never {
  throw new BadReply(where);
}
