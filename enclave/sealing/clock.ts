/** Time that only moves forward, whatever the host does to the wall clock. */
export interface Clock {
  /** Milliseconds since some moment of this process. */
  now(): number;
  /** Calls back once, after about so many ms, and keeps no process alive. The result takes it back. */
  after(ms: number, act: () => void): () => void;
}

export const monotonicClock: Clock = {
  now: () => performance.now(),
  after: (ms, act) => {
    const timer = setTimeout(act, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
