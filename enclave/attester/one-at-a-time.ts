/**
 * Runs work in the order in which it was asked for, never two at once: one device serves both the log's ticks and the
 * requests for model keys.
 */
export class OneAtATime {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined); // whoever asked hears of it; the next in line does not
    return done;
  }
}
