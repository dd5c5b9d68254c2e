// Calls a parser library as nvinfer does: the library is opened, the function is looked up by name, layers are handed
// over in vectors. Returns the number of objects, -1 where the parser refused, -2 where there is none.
#include <dlfcn.h>

#include "nvdsinfer_custom_impl.h"

struct Layer {
    const char *name;
    void *buffer;
    int type;
    unsigned int numDims, d[8];
};

extern "C" int drive(const char *library, const Layer *layers, int count, unsigned int width, unsigned int height,
                     const float *thresholds, unsigned int stated, unsigned int classes,
                     NvDsInferObjectDetectionInfo *out, int room) {
    void *opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    auto parse = opened ? reinterpret_cast<NvDsInferParseCustomFunc>(dlsym(opened, "NvDsInferParseVisionmill")) : nullptr;
    if (!parse) return -2;
    std::vector<NvDsInferLayerInfo> infos;
    for (int i = 0; i < count; ++i) {
        NvDsInferLayerInfo info = {};
        info.dataType = static_cast<NvDsInferDataType>(layers[i].type);
        info.inferDims.numDims = layers[i].numDims;
        info.inferDims.numElements = 1;
        for (unsigned int k = 0; k < layers[i].numDims; ++k) {
            info.inferDims.d[k] = layers[i].d[k];
            info.inferDims.numElements *= layers[i].d[k];
        }
        info.bindingIndex = i + 1;
        info.layerName = layers[i].name;
        info.buffer = layers[i].buffer;
        infos.push_back(info);
    }
    NvDsInferNetworkInfo network = {width, height, 3};
    NvDsInferParseDetectionParams params{classes, std::vector<float>(thresholds, thresholds + stated), {}};
    std::vector<NvDsInferObjectDetectionInfo> objects;
    if (!parse(infos, network, params, objects)) return -1;
    for (int i = 0; i < static_cast<int>(objects.size()) && i < room; ++i) out[i] = objects[i];
    return static_cast<int>(objects.size());
}
