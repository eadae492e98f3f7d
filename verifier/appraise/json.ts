/** Decoded facts as JSON for people and tools: bytes as lower-case hex, times as ISO 8601 UTC. */
import { hex } from '@veritee/protocol';
import type { NitroDocument } from '../nitro/document.ts';
import { productOfCpuid, type SnpReport } from '../snp/report.ts';
import { reportFacts } from './claims.ts';

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

export function jsonOf(value: unknown): JsonValue {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return value;
  if (value instanceof Uint8Array) return hex(value);
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, jsonOf(item)]));
  }
  throw new TypeError(`no JSON form for ${typeof value}`);
}

/** Every field as decoded, for inspection. Nothing here has been verified; TCBs stay raw, since a product is only claimed. */
export function snpReportToJson(report: SnpReport): JsonObject {
  const { reportedTcb, committedTcb, currentTcb, launchTcb, signingKey, signature } = report;
  const tcb = { reported: reportedTcb, committed: committedTcb, current: currentTcb, launch: launchTcb };
  const facts = { ...reportFacts(report), claimedProduct: productOfCpuid(report), signingKey, tcb, signature };
  return Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, jsonOf(value)]));
}

/** Every field as decoded, for inspection. Nothing here has been verified. */
export function nitroDocumentToJson(document: NitroDocument): JsonObject {
  const { protectedHeader: _, payload: __, toBeSigned: ___, pcrs, pcr0, pcr1, pcr2, ...rest } = document;
  const facts = { ...rest, pcrs: Object.fromEntries(pcrs) };
  return Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, jsonOf(value)]));
}
