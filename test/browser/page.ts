/** In the page: fetches the jobs, runs them one by one and posts the outcomes. `?without=P-384,Ed25519` takes curves away. */
import type { JsonValue } from '../../verifier/appraise/json.ts';
import { type Answer, outcomeOf, unpackJobs } from './run.ts';

interface Page {
  readonly isSecureContext: boolean;
  readonly location: { readonly search: string };
  /** Absent where the page was not served securely. */
  readonly crypto: { readonly subtle?: Record<'verify' | 'importKey', (...args: unknown[]) => Promise<unknown>> };
}

const { isSecureContext, location, crypto } = globalThis as unknown as Page;
const nameOf = (algorithm: unknown): string => (algorithm as { name: string }).name;

function countVerifications(): Record<string, number> | null {
  const { subtle } = crypto;
  if (!subtle) return null;
  const counts: Record<string, number> = {};
  const verify = subtle.verify.bind(subtle);
  subtle.verify = (algorithm, ...rest) => {
    counts[nameOf(algorithm)] = (counts[nameOf(algorithm)] ?? 0) + 1;
    return verify(algorithm, ...rest);
  };
  return counts;
}

/** Refuses them with the error that Chromium and Node have for an algorithm or a curve they do not know. */
function takeAway(names: readonly string[]): void {
  const { subtle } = crypto;
  if (!subtle || names.length === 0) return;
  const importKey = subtle.importKey.bind(subtle);
  subtle.importKey = async (...args) => {
    const { name, namedCurve = name } = args[2] as { readonly name: string; readonly namedCurve?: string };
    if (names.includes(namedCurve)) throw new DOMException(`${namedCurve} is taken away`, 'NotSupportedError');
    return importKey(...args);
  };
}

async function main(): Promise<Answer> {
  const verifiedByWebCrypto = countVerifications();
  takeAway(new URLSearchParams(location.search).get('without')?.split(',') ?? []);
  const outcomes: Record<string, JsonValue> = {};
  for (const job of unpackJobs((await (await fetch('/jobs.json')).json()) as JsonValue)) {
    try {
      outcomes[job.name] = await outcomeOf(job);
    } catch (cause) {
      throw new Error(`${job.name}: ${cause}`, { cause });
    }
  }
  return { secureContext: isSecureContext, verifiedByWebCrypto, outcomes };
}

const answer = await main().catch((error: unknown) => ({ failed: String(error) }));
await fetch('/answer', { method: 'POST', body: JSON.stringify(answer) });
