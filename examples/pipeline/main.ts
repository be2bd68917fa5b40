import { type PipelineReport, runPipeline } from "./pipeline.ts";

const PACKETS = 20_000;

function print(
  name: string,
  { offered, droppedByNic, received, droppedBetween, parse, sink, ms }: PipelineReport,
): void {
  console.log(`${name}: ${offered} packets offered, ${ms.toFixed(0)} ms`);
  console.log(`  nic    ${droppedByNic} dropped, no buffer free`);
  console.log(`  rx     ${received} received, ${droppedBetween} not handed on`);
  console.log(`  parse  ${parse.handedOn} handed on, ${parse.unwanted} unwanted`);
  console.log(`  sink   ${sink.packets} packets, ${sink.bytes} bytes, ${sink.wrong} wrong`);
}

/** Every packet is somewhere, every byte right, every buffer home. */
function isRight({ offered, droppedByNic, received, droppedBetween, parse, sink, poolsLeft }: PipelineReport): boolean {
  return (
    offered === droppedByNic + received &&
    received === parse.handedOn + parse.unwanted &&
    parse.handedOn === sink.packets &&
    sink.packets > 0 &&
    droppedBetween + sink.wrong + poolsLeft === 0
  );
}

const fast = await runPipeline(PACKETS, 0);
print("a sink that keeps up", fast);
const slow = await runPipeline(PACKETS, 20);
print("a sink that thinks 20 ms about each burst", slow);
process.exitCode = isRight(fast) && isRight(slow) ? 0 : 1;
