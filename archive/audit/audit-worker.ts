/** One thread of an audit: opens the archive for reading and does the tasks it is sent. */
import { parentPort, workerData } from 'node:worker_threads';
import { CodedError } from '@veritee/protocol';
import { openArchive } from '../archive.ts';
import type { AuditorData, CarriedError, CrewAnswer } from './crew.ts';
import { Performer, type Task } from './performer.ts';

const { folder } = workerData as AuditorData;
const performer = openArchive({ folder, mode: 'read' }).then((archive) => new Performer(archive));
performer.catch(() => undefined); // each task that is sent gets the refusal

const carry = (error: unknown): CarriedError =>
  error instanceof CodedError
    ? { code: error.code, message: error.message, field: error.field }
    : { code: 'INTERNAL', message: (error as Error).message, field: undefined };

parentPort?.on('message', async (task: Task) => {
  let answer: CrewAnswer;
  try {
    answer = { value: await (await performer).perform(task) };
  } catch (error) {
    answer = { error: carry(error) };
  }
  parentPort?.postMessage(answer);
});
