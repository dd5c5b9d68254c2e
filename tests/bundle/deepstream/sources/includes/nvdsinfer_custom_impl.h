// Layout only: see README beside this file.
#pragma once

#include <string>
#include <vector>

extern "C" {

typedef struct {
    unsigned int numDims;
    unsigned int d[8];
    unsigned int numElements;  // product of all
} NvDsInferDims;

typedef enum { FLOAT = 0, HALF = 1, INT8 = 2, INT32 = 3 } NvDsInferDataType;

typedef struct {
    NvDsInferDataType dataType;
    union {
        NvDsInferDims inferDims;
        NvDsInferDims dims;
    };
    int bindingIndex;
    const char *layerName;
    void *buffer;
    int isInput;
} NvDsInferLayerInfo;

typedef struct {
    unsigned int width, height, channels;
} NvDsInferNetworkInfo;

typedef struct {
    unsigned int classId;
    float left, top, width, height;
    float detectionConfidence;
} NvDsInferObjectDetectionInfo;
}

typedef NvDsInferObjectDetectionInfo NvDsInferParseObjectInfo;

typedef struct {
    unsigned int numClassesConfigured;
    std::vector<float> perClassPreclusterThreshold;
    std::vector<float> perClassPostclusterThreshold;
    std::vector<float> &perClassThreshold = perClassPreclusterThreshold;
} NvDsInferParseDetectionParams;

typedef bool (*NvDsInferParseCustomFunc)(std::vector<NvDsInferLayerInfo> const &, NvDsInferNetworkInfo const &,
                                         NvDsInferParseDetectionParams const &,
                                         std::vector<NvDsInferObjectDetectionInfo> &);

#define CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(function)                                               \
    static void checkFunc_##function(NvDsInferParseCustomFunc func = function) { checkFunc_##function(); }; \
    extern "C" bool function(std::vector<NvDsInferLayerInfo> const &, NvDsInferNetworkInfo const &, \
                             NvDsInferParseDetectionParams const &, std::vector<NvDsInferObjectDetectionInfo> &);
