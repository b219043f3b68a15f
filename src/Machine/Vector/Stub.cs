namespace Ringdown.Machine;
static unsafe partial class VectorLowering
{
    static bool LowerMemoryControl(BlockBuilder b) => false;
    static bool LowerPermute(BlockBuilder b) => false;
}
