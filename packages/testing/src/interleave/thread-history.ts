import { type ModelledWords, type OperationSink } from "./modelled-words.ts";
import { type Operation, type Response, sameOperation } from "./operation.ts";
import { UnsupportedAccessError } from "./unsupported-access-error.ts";

/** How a thread's function ended. */
export type ThreadEnd =
  | { readonly kind: "returned"; readonly value: unknown }
  | { readonly kind: "threw"; readonly error: unknown };

/**
 * Where a thread is: what its operations answered so far. As the code of a thread is deterministic, that decides its
 * next operation, or its end.
 */
export class HistoryNode {
  readonly id: number;
  readonly parent: HistoryNode | null;
  /** What the operation of the parent answered. */
  readonly response: Response;
  /** Operations done. */
  readonly depth: number;
  readonly operation: Operation | null;
  readonly end: ThreadEnd | null;
  readonly children: Map<Response, HistoryNode> = new Map();

  constructor(id: number, parent: HistoryNode | null, response: Response, next: Operation | ThreadEnd) {
    this.id = id;
    this.parent = parent;
    this.response = response;
    this.depth = parent === null ? 0 : parent.depth + 1;
    this.operation = "at" in next ? next : null;
    this.end = "at" in next ? null : next;
  }
}

/** Thrown into a thread's code to leave it at the operation whose answer is not known yet. */
class LeaveThread extends Error {
  override readonly name: string = "LeaveThread";
}

/**
 * The tree of histories of one thread. Functions cannot be stopped half way, so each new node runs the thread's code
 * from its beginning, feeds it the answers of that history, and leaves it at the next operation. Every node is computed
 * once; its cost is that of the code up to there.
 */
export class ThreadHistory {
  readonly root: HistoryNode;
  readonly #name: string;
  readonly #words: ModelledWords;
  readonly #code: () => unknown;
  readonly #leave = new LeaveThread("left by the explorer");
  #nodes = 0;

  /** @param code runs the thread from its beginning. It must do the same when it is given the same answers. */
  constructor(name: string, words: ModelledWords, code: () => unknown) {
    this.#name = name;
    this.#words = words;
    this.#code = code;
    this.root = new HistoryNode(this.#nodes++, null, undefined, this.#runAlong([]));
  }

  /** The node after the operation of `node` answered `response`. */
  after(node: HistoryNode, response: Response): HistoryNode {
    const known = node.children.get(response);
    if (known !== undefined) return known;
    const done: Operation[] = [];
    const responses: Response[] = [response];
    for (let at: HistoryNode | null = node; at?.operation; at = at.parent) {
      done.unshift(at.operation);
      if (at.parent !== null) responses.unshift(at.response);
    }
    const next = this.#runAlong(done, responses);
    const child = new HistoryNode(this.#nodes++, node, response, next);
    node.children.set(response, child);
    return child;
  }

  #runAlong(done: readonly Operation[], responses: readonly Response[] = []): Operation | ThreadEnd {
    const recorder = new Recorder(this.#name, done, responses, this.#leave);
    let end: ThreadEnd;
    try {
      end = { kind: "returned", value: this.#words.run(recorder, this.#code) };
    } catch (error) {
      end = { kind: "threw", error };
    }
    return recorder.finish(end);
  }
}

class Recorder implements OperationSink {
  readonly #name: string;
  readonly #done: readonly Operation[];
  readonly #responses: readonly Response[];
  readonly #leave: Error;
  #count = 0;
  #next: Operation | null = null;
  #changedCourse = false;

  constructor(name: string, done: readonly Operation[], responses: readonly Response[], leave: Error) {
    this.#name = name;
    this.#done = done;
    this.#responses = responses;
    this.#leave = leave;
  }

  perform(operation: Operation): Response {
    const known = this.#done[this.#count];
    if (this.#next !== null) throw this.#leave;
    if (known === undefined) {
      this.#next = operation;
      throw this.#leave;
    }
    this.#changedCourse ||= !sameOperation(known, operation);
    return this.#responses[this.#count++];
  }

  finish(end: ThreadEnd): Operation | ThreadEnd {
    if (end.kind === "threw" && end.error instanceof UnsupportedAccessError) throw end.error;
    if (this.#changedCourse || this.#count < this.#done.length) {
      throw new UnsupportedAccessError(
        `thread ${this.#name} did not repeat itself: it must make its own objects each time it runs, and depend on nothing but them and the shared words`,
      );
    }
    if (this.#next === null) return this.#checkReturned(end);
    if (end.kind === "threw" && end.error === this.#leave) return this.#next;
    throw new UnsupportedAccessError(`thread ${this.#name} caught what the explorer threw to leave it`);
  }

  #checkReturned(end: ThreadEnd): ThreadEnd {
    if (end.kind === "returned" && end.value instanceof Promise) {
      throw new UnsupportedAccessError(`thread ${this.#name} is asynchronous; only synchronous code can be explored`);
    }
    return end;
  }
}
