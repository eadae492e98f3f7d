/** Runs many tasks on a crew, a bounded number at a time, and says how it goes on. */
import { CodedError } from '@veritee/protocol';
import type { Crew } from './crew.ts';
import type { AnswerTo, Task } from './performer.ts';

export const PASSES = ['log', 'evidence', 'hash', 'entries', 'rows', 'blobs'] as const;
export type Pass = (typeof PASSES)[number];

export interface AuditProgress {
  readonly pass: Pass;
  readonly done: number;
  readonly total: number;
}

/** What a pass did and what it cost. CPU seconds are those of all threads together. */
export interface PassFigures {
  readonly items: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** Waiting tasks for each thread, so that none stands idle. */
const AHEAD = 2;

export async function runAll<T extends Task>(
  crew: Crew,
  tasks: Iterable<T>,
  take: (task: T, answer: AnswerTo<T>) => void,
  unreadable: (task: T, error: CodedError) => void,
): Promise<void> {
  const waiting = tasks[Symbol.iterator]();
  const lane = async (): Promise<void> => {
    for (let next = waiting.next(); !next.done; next = waiting.next()) {
      const task = next.value;
      try {
        take(task, await crew.run(task));
      } catch (error) {
        if (!(error instanceof CodedError) || error.code !== 'STORE_FAILED') throw error;
        unreadable(task, error);
      }
    }
  };
  await Promise.all(Array.from({ length: crew.threads * AHEAD }, lane));
}

/** Times one pass. */
export async function measured(work: () => Promise<number>): Promise<PassFigures> {
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  const items = await work();
  const { user, system } = process.cpuUsage(cpu);
  return { items, seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6 };
}
