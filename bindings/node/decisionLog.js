'use strict';

// Records of decisions on their way to a function of the program: the addon makes lines of them, which
// wait here, bounded, until the function has taken those before.

/** How many records are handed over at a time. */
const BATCH = 256;
/** The longest time that a timer takes, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** Returns the class, over what makes lines. */
function decisionLogOf(DecisionRecorder) {
  return class DecisionLog {
    #recorder;
    #sink;
    #buffer;
    #bufferSize;
    #timeout;
    #onError;
    #waiting = [];
    #size = 0;
    #handingOver;
    #isFailing = false;
    #written = 0;
    #dropped = 0;
    #failed = 0;

    constructor(sink, options = {}) {
      if (typeof sink !== 'function') throw mistyped('the sink', 'a function');
      const {
        buffer = 10_000,
        bufferSize = 1 << 26,
        timeout = 5_000,
        onError = warn,
        ...rules
      } = options ?? {};
      for (const [name, value] of Object.entries({ buffer, bufferSize, timeout })) {
        if (!(Number.isInteger(value) && value > 0)) {
          throw mistyped(`\`${name}\``, 'a whole number above 0');
        }
      }
      if (typeof onError !== 'function') throw mistyped('`onError`', 'a function');
      this.#recorder = new DecisionRecorder(rules);
      this.#sink = sink;
      this.#buffer = buffer;
      this.#bufferSize = bufferSize;
      this.#timeout = Math.min(timeout, LONGEST);
      this.#onError = onError;
    }

    record(record, isChange = true) {
      const line = this.#recorder.line(record, isChange);
      return line === null || this.#take({ line });
    }

    async recordRequired(record, isChange = true) {
      const line = this.#recorder.line(record, isChange);
      if (line === null) return;
      const entry = { line };
      const taken = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
      if (!this.#take(entry)) {
        throw new Error('the decision cannot be recorded: too many records wait');
      }
      await this.#inTime(taken, error => this.#withdraw(entry, error));
    }

    async flush() {
      const empty = async () => {
        while (this.#handingOver) await this.#handingOver;
      };
      await this.#inTime(empty());
    }

    get counts() {
      return {
        written: this.#written,
        dropped: this.#dropped,
        failed: this.#failed,
        excluded: this.#recorder.excluded,
      };
    }

    #take(entry) {
      const size = this.#size + entry.line.length;
      const isFull = this.#size > 0 && size > this.#bufferSize;
      if (isFull || this.#waiting.length >= this.#buffer) {
        this.#dropped += 1;
        return false;
      }
      this.#waiting.push(entry);
      this.#size = size;
      this.#handingOver ??= this.#handOver();
      return true;
    }

    async #handOver() {
      // What is decided in one sweep goes together.
      await null;
      while (this.#waiting.length > 0) {
        const batch = this.#waiting.splice(0, BATCH);
        const lines = batch.map(({ line }) => line);
        try {
          await this.#sink(lines);
          this.#written += batch.length;
          this.#isFailing = false;
          batch.forEach(({ resolve }) => resolve?.());
        } catch (error) {
          this.#failed += batch.length;
          batch.forEach(({ reject }) => reject?.(error));
          this.#tell(error);
        }
        for (const line of lines) this.#size -= line.length;
      }
      this.#handingOver = undefined;
    }

    /** Rejects where a promise does not come to its end in time: nobody waits for ever. */
    #inTime(promise, onLate) {
      return new Promise((resolve, reject) => {
        const late = () => {
          const error = new Error(`the sink took longer than ${this.#timeout} ms`);
          onLate?.(error);
          reject(error);
        };
        const timer = setTimeout(late, this.#timeout);
        promise.then(resolve, reject).finally(() => clearTimeout(timer));
      });
    }

    /** Takes out a record that is too late: what it says was allowed is not. */
    #withdraw(entry, error) {
      const at = this.#waiting.indexOf(entry);
      // The sink may still take what is in its hands.
      if (at >= 0) {
        this.#waiting.splice(at, 1);
        this.#size -= entry.line.length;
        this.#failed += 1;
      }
      this.#tell(error);
    }

    /** Tells once that records are lost, until some are written again. */
    #tell(error) {
      if (this.#isFailing) return;
      this.#isFailing = true;
      try {
        this.#onError(error);
      } catch (thrown) {
        warn(thrown);
      }
    }
  };
}

function warn(error) {
  process.emitWarning(`decision records cannot be written and are lost: ${error}`, {
    type: 'StagedoorWarning',
    code: 'audit::failed',
  });
}

function mistyped(what, expected) {
  const error = new TypeError(`${what} must be ${expected}`);
  error.code = 'argument::type';
  return error;
}

module.exports = { decisionLogOf };
