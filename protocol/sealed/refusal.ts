/** How the parsers of this folder refuse: one set of rules, another code for each direction. */
import { DecapError, OpenError, ValidationError } from 'hpke';
import { type Code, type CodedError, ServiceError } from '../errors.ts';

export type Problem = 'malformed' | 'truncated' | 'unreadable';
/** Makes the error; the caller throws it. */
export type Refuse = (problem: Problem, message: string, field: string) => CodedError;

const refuseWith =
  (codes: Readonly<Record<Problem, Code>>): Refuse =>
  (problem, message, field) =>
    new ServiceError(codes[problem], `${field}: ${message}`, { field });

/** At the recipient. */
export const refuseRequest = refuseWith({
  malformed: 'SEALED_REQUEST_MALFORMED',
  truncated: 'SEALED_REQUEST_TRUNCATED',
  unreadable: 'SEALED_REQUEST_UNREADABLE',
});

/** At the sender, before the answer's seal has been checked to its end. */
export const refuseAnswer = refuseWith({
  malformed: 'SEALED_ANSWER_INVALID',
  truncated: 'SEALED_ANSWER_TRUNCATED',
  unreadable: 'SEALED_ANSWER_INVALID',
});

/** At the sender, inside the seal: nobody on the way can have cut it there. */
export const refuseAnswerContent = refuseWith({
  malformed: 'SEALED_ANSWER_INVALID',
  truncated: 'SEALED_ANSWER_INVALID',
  unreadable: 'SEALED_ANSWER_INVALID',
});

/** Refuses what a key does not open; any other error is a defect and passes. */
export async function authentic<T>(work: Promise<T>, field: string, refuse: Refuse): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof OpenError || error instanceof DecapError || error instanceof ValidationError)) throw error;
    throw refuse('unreadable', 'does not authenticate', field);
  }
}
