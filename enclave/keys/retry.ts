import type { Logger } from 'pino';
import type { LoadedModel, Repository } from '../models/repository.ts';

const FIRST_MS = 5_000;
const LAST_MS = 300_000;

/**
 * Asks again, less and less often, for the keys that could not be had at the start, until no model waits for one. A
 * refusal is final for this boot: whoever changes the policy starts the enclave again.
 *
 * @param onReady a model that is served from now on
 * @returns stops asking
 */
export function retryKeys(
  repository: Pick<Repository, 'awaitsKeys' | 'retryKeys'>,
  onReady: (model: LoadedModel) => void,
  logger: Logger,
  firstMs = FIRST_MS,
): () => void {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const later = (waitMs: number): void => {
    if (stopped || !repository.awaitsKeys) return;
    timer = setTimeout(async () => {
      try {
        const ready = await repository.retryKeys();
        if (!stopped) for (const model of ready) onReady(model);
      } catch (error) {
        logger.error({ name: (error as Error).name }, 'asking again for model keys failed');
      }
      later(Math.min(2 * waitMs, LAST_MS));
    }, waitMs);
  };
  later(firstMs);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
