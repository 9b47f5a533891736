// How fast the members of a cluster hand each other rows, by pattern.
//
//   nvcc -arch=sm_90a -O3 -o /tmp/exchange benchmarks/cluster_exchange.cu
//   /tmp/exchange
//
// A turn is what the clusters of docs/performance.md exchange: every member has
// 64 rows of 512 bytes and sends row r to member r / (64 / members). Eight
// warps send, two teams of four in turns, and wait for nothing but, every 12
// turns, all bytes. Printed are clocks a turn, the mean over members, the
// median of 5 launches; every multiprocessor is busy unless a single cluster
// runs. What the rows hold does not matter: bulk copies are not fenced.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cuda_runtime.h>
#include <vector>

constexpr int rowBytes = 512, rows = 64, stages = 4, turnsOfRound = 12,
              rounds = 20, threads = 256;
constexpr uint32_t turnBytes = rows * rowBytes;

enum Way { StAsync, Store, Bulk };
static const char *names[] = {"st.async", "st.shared::cluster",
                              "cp.async.bulk"};

static void check(cudaError_t error) {
  if (error == cudaSuccess)
    return;
  fprintf(stderr, "cluster_exchange: %s\n", cudaGetErrorString(error));
  exit(1);
}

__device__ uint32_t atMember(uint32_t address, uint32_t member) {
  uint32_t result;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
               : "=r"(result)
               : "r"(address), "r"(member));
  return result;
}

__device__ void joinCluster() {
  asm volatile("barrier.cluster.arrive.aligned;\n"
               "barrier.cluster.wait.aligned;" ::
                   : "memory");
}

// `Piece`: bytes of a row that neighbouring lanes, or a bulk copy, take.
// `Own`: rows for the member itself are stored, not sent.
// `Rotated`: members start with different receivers.
template <Way way, int Members, int Piece, bool Own, bool Rotated>
__global__ void __launch_bounds__(threads) exchange(long long *clocks) {
  extern __shared__ __align__(1024) uint8_t shared[];
  __shared__ __align__(8) uint64_t barriers[2];
  constexpr uint32_t own = rows / Members;
  uint32_t member;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(member));
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4,
      team = threadIdx.x / 128;
  uint32_t base = (uint32_t)__cvta_generic_to_shared(shared),
           barrier = (uint32_t)__cvta_generic_to_shared(barriers);
  for (int i = threadIdx.x; i < stages * (int)turnBytes / 4; i += threads)
    ((uint32_t *)shared)[i] = i;
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; i++)
      asm volatile(
          "mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barrier + 8 * i));
    asm volatile("fence.mbarrier_init.release.cluster;");
  }
  __syncthreads();
  joinCluster();
  long long start = clock64();
  for (int round = 0; round < rounds; round++) {
    uint32_t full = barrier + 8 * (round & 1);
    uint32_t expected = way == Store ? 0
                        : Own
                            ? turnsOfRound * turnBytes / Members * (Members - 1)
                            : turnsOfRound * turnBytes;
    if (threadIdx.x == 0)
      asm volatile(
          "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(full),
          "r"(expected)
          : "memory");
    for (int t = team; t < turnsOfRound; t += 2) {
      uint32_t stage = base + t % stages * turnBytes;
      // Where row r goes, `piece` bytes into it.
      auto receiver = [&](uint32_t r) {
        return Rotated ? (r / own + member) % Members : r / own;
      };
      auto place = [&](uint32_t r, uint32_t piece) {
        return stage + (member * own + r % own) * rowBytes + piece;
      };
      if (way == Bulk) { // a lane a piece
        constexpr int pieces = rowBytes / Piece;
        for (int i = lane; i < 16 * pieces; i += 32) {
          uint32_t r = warp * 16 + i / pieces, at = i % pieces * Piece;
          asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::"
                       "complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                           atMember(place(r, at), receiver(r))),
                       "r"(stage + r * rowBytes + at), "r"(Piece),
                       "r"(atMember(full, receiver(r)))
                       : "memory");
        }
        continue;
      }
      constexpr int rowsAtOnce = 512 / Piece, lanesOfRow = Piece / 16,
                    groups = 16 / rowsAtOnce;
#pragma unroll
      for (int i = 0; i < 16; i++) {
        uint32_t r = warp * 16 + i % groups * rowsAtOnce + lane / lanesOfRow;
        uint32_t to = place(r, i / groups * Piece + lane % lanesOfRow * 16);
        uint32_t who = receiver(r);
        if (Own && who == member)
          asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to),
                       "r"(i), "r"(lane), "r"(round), "r"(t)
                       : "memory");
        else if (way == Store)
          asm volatile(
              "st.shared::cluster.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(
                  atMember(to, who)),
              "r"(i), "r"(lane), "r"(round), "r"(t)
              : "memory");
        else
          asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::"
                       "bytes.v4.b32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(
                           atMember(to, who)),
                       "r"(i), "r"(lane), "r"(round), "r"(t),
                       "r"(atMember(full, who))
                       : "memory");
      }
    }
    asm volatile("{\n.reg .pred done;\n"
                 "again:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], "
                 "%1;\n@!done bra again;\n}" ::"r"(full),
                 "r"((round >> 1) & 1)
                 : "memory");
    joinCluster();
  }
  if (threadIdx.x == 0)
    clocks[blockIdx.x] = clock64() - start;
}

template <Way way, int Members, int Piece, bool Own, bool Rotated>
static void run(bool single) {
  auto kernel = exchange<way, Members, Piece, Own, Rotated>;
  int bytes = stages * turnBytes;
  check(cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  check(cudaFuncSetAttribute(
      kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = Members;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = Members;
  config.blockDim = threads;
  config.dynamicSmemBytes = bytes;
  config.attrs = &attribute;
  config.numAttrs = 1;
  int clusters = 1;
  if (!single)
    check(cudaOccupancyMaxActiveClusters(&clusters, kernel, &config));
  config.gridDim = clusters * Members;
  static long long *clocks = nullptr;
  if (!clocks)
    check(cudaMalloc(&clocks, 1024 * sizeof *clocks));
  std::vector<double> means;
  std::vector<long long> each(config.gridDim.x);
  for (int i = 0; i < 5; i++) {
    check(cudaLaunchKernelEx(&config, kernel, clocks));
    check(cudaMemcpy(each.data(), clocks, each.size() * sizeof *clocks,
                     cudaMemcpyDeviceToHost));
    double sum = 0;
    for (long long c : each)
      sum += c;
    means.push_back(sum / each.size() / (rounds * turnsOfRound));
  }
  std::sort(means.begin(), means.end());
  printf("%2d members, %2d clusters, %-18s of %3d bytes%s%s: %5.0f clocks a "
         "turn, %4.1f bytes a clock\n",
         Members, clusters, names[way], Piece, Own ? ", own rows stored" : "",
         Rotated ? ", receivers rotated" : "", means[2], turnBytes / means[2]);
}

template <int Members> static void runAll() {
  for (bool single : {false, true}) {
    run<StAsync, Members, 64, false, false>(single);
    run<StAsync, Members, 64, true, false>(single);
    run<StAsync, Members, 128, true, true>(single);
    run<Store, Members, 128, false, false>(single);
    run<Bulk, Members, 512, false, false>(single);
    run<Bulk, Members, 512, false, true>(single);
  }
}

int main() {
  runAll<16>();
  runAll<8>();
  runAll<4>();
  runAll<2>();
}
