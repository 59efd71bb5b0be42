"""The Python twins of the workloads, driven over standard input and output.

One JSON object a line. In: {"setup": workload, "variant": name, "threads": n},
{"run": iterations}, {"memory": true}, {"done": true}, {"quit": true}. Out:
{"version": text} at the start, then {"digests": [[a, b], ..]}, {"seconds": s},
{"mib": m}, {"ok": true}, or {"error": text}.

PyTorch is imported once; every workload then has a process of its own, forked
from this one before anything was computed, so that its memory is its own.
"""

import importlib
import json
import os
import sys
import time

# Compile in this process: a pool of compilers would be alive during the timing.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import torch
import torch._dynamo  # optimisers import it late: not a part of a workload

import common

# Runs whose results are compared, and seconds after which fewer will do.
COMPARED = 3
PATIENCE = 1.0

# The file of each workload; a name may end with `*`.
FILES = {
    "chain1000": "chain",
    "mlp_step": "mlp",
    "maml_sinusoid_*": "maml",
    "maml_conv4_5w1s": "meta",
    "protonet_conv4": "image",
    "lenet_step": "image",
    "resnet18_*": "resnet",
    "transformer_*": "transformer",
    "ntxent": "contrastive",
    "lora_train": "lora",
    "knn": "shallow",
    "kmeans": "shallow",
    "logreg": "shallow",
    "dann_step": "adapt",
    "sinkhorn": "adapt",
    "mtl_*": "multi_task",
    "kd_step*": "distill",
    "augment": "ssl_twins",
    "simclr_step*": "ssl_twins",
    "vicreg_loss": "ssl_twins",
    "eszsl": "zero_shot",
    "sentence_embedding": "zero_shot",
    "zeroshot_text": "zero_shot",
    "conv*": "conv",
    "depthwise*": "conv",
}


def say(**content):
    print(json.dumps(content), flush=True)


def file_of(workload):
    for name, file in FILES.items():
        if name == workload or (name.endswith("*") and workload.startswith(name[:-1])):
            return file
    raise KeyError(f"no twin of {workload}")


def status(field):
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(field):
                return float(line.split()[1]) / 1024
    return 0.0


def reset_peak():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


class Child:
    """One workload."""

    def setup(self, request):
        torch.manual_seed(0)
        torch.set_num_threads(request["threads"])
        module = importlib.import_module(file_of(request["setup"]))
        # The BLAS and OpenMP libraries of other packages.
        try:
            import threadpoolctl

            threadpoolctl.threadpool_limits(request["threads"])
        except ImportError:
            pass
        reset_peak()
        self.before = status("VmRSS")
        self.run = module.WORKLOADS[request["setup"]](request["variant"])
        digests, begin = [], time.perf_counter()
        while not digests or (len(digests) < COMPARED and time.perf_counter() - begin < PATIENCE):
            digests.append(common.digest(self.run()))
        say(digests=digests)

    def answer(self, request):
        if "setup" in request:
            self.setup(request)
        elif "memory" in request:
            say(mib=status("VmHWM") - self.before)
        else:
            run = self.run
            start = time.perf_counter()
            for _ in range(request["run"]):
                run()
            say(seconds=time.perf_counter() - start)

    def serve(self, request):
        while request and "done" not in request and "quit" not in request:
            try:
                self.answer(request)
            except ModuleNotFoundError as error:
                say(error=f"this Python lacks the package `{error.name}`")
            except Exception as error:  # told to the other side, which decides
                first = (str(error).splitlines() or [""])[0]
                say(error=f"{type(error).__name__}: {first}")
            line = sys.stdin.readline()
            request = json.loads(line) if line else None
        os._exit(0)


def main():
    say(version=torch.__version__)
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "quit" in request:
            return
        if "setup" not in request:
            say(error="nothing is set up")
            continue
        child = os.fork()
        if child == 0:
            Child().serve(request)
        _, code = os.waitpid(child, 0)
        if code == 0:
            say(ok=True)
        else:
            say(error=f"the twin died with status {code}")


if __name__ == "__main__":
    main()
