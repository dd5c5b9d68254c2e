// Output parser for NVIDIA DeepStream: boxes [A, 4] (x0, y0, x1, y1 in pixels of the input) and scores [A, K] in 0..1.
//
// Threshold of each class, the best VISIONMILL_TOP_K candidates, greedy suppression within each class, the best
// VISIONMILL_MAX_DETECTIONS: what every other runtime of this model does. Set cluster-mode=4, so that nvinfer does not
// suppress again. The three numbers come from the Makefile; an overlap limit above 1 switches suppression off.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "nvdsinfer_custom_impl.h"

#ifndef VISIONMILL_IOU
#define VISIONMILL_IOU 0.55
#endif
#ifndef VISIONMILL_TOP_K
#define VISIONMILL_TOP_K 1000
#endif
#ifndef VISIONMILL_MAX_DETECTIONS
#define VISIONMILL_MAX_DETECTIONS 100
#endif

namespace {

struct Candidate {
    float x0, y0, x1, y1, score;
    unsigned int label;
};

const NvDsInferLayerInfo *find(std::vector<NvDsInferLayerInfo> const &layers, const char *name) {
    for (NvDsInferLayerInfo const &layer : layers)
        if (layer.layerName && std::strcmp(layer.layerName, name) == 0) return &layer;
    return nullptr;
}

// Rows and columns of a layer of float32; false for anything else. A leading batch of one is allowed.
bool shaped(const NvDsInferLayerInfo *layer, std::size_t &rows, std::size_t &columns) {
    if (!layer || !layer->buffer || layer->dataType != FLOAT) return false;
    NvDsInferDims const &dims = layer->inferDims;
    unsigned int first = dims.numDims == 3 && dims.d[0] == 1 ? 1 : 0;
    if (dims.numDims != first + 2) return false;
    rows = dims.d[first];
    columns = dims.d[first + 1];
    return rows > 0 && columns > 0;
}

float area(Candidate const &box) {
    return std::max(box.x1 - box.x0, 0.0f) * std::max(box.y1 - box.y0, 0.0f);
}

bool overlaps(Candidate const &better, Candidate const &box) {
    float width = std::max(std::min(better.x1, box.x1) - std::max(better.x0, box.x0), 0.0f);
    float height = std::max(std::min(better.y1, box.y1) - std::max(better.y0, box.y0), 0.0f);
    float inner = width * height;
    float whole = area(better) + area(box) - inner;
    return inner > whole * static_cast<float>(VISIONMILL_IOU);
}

float clip(float value, unsigned int edge) {
    return std::min(std::max(value, 0.0f), static_cast<float>(edge));
}

}  // namespace

extern "C" bool NvDsInferParseVisionmill(std::vector<NvDsInferLayerInfo> const &outputLayersInfo,
                                         NvDsInferNetworkInfo const &networkInfo,
                                         NvDsInferParseDetectionParams const &detectionParams,
                                         std::vector<NvDsInferObjectDetectionInfo> &objectList) {
    const NvDsInferLayerInfo *boxLayer = find(outputLayersInfo, "boxes"), *scoreLayer = find(outputLayersInfo, "scores");
    std::size_t rows = 0, four = 0, scored = 0, classes = 0;
    if (!shaped(boxLayer, rows, four) || !shaped(scoreLayer, scored, classes)) return false;
    if (four != 4 || rows != scored || classes != detectionParams.numClassesConfigured) return false;
    if (detectionParams.perClassPreclusterThreshold.size() < classes) return false;

    const float *boxes = static_cast<const float *>(boxLayer->buffer);
    const float *scores = static_cast<const float *>(scoreLayer->buffer);
    std::vector<Candidate> found;
    for (std::size_t row = 0; row < rows; ++row)
        for (std::size_t label = 0; label < classes; ++label) {
            float score = scores[row * classes + label];
            // written so that a score that is no number is left out
            if (!(score > detectionParams.perClassPreclusterThreshold[label])) continue;
            const float *box = boxes + 4 * row;
            found.push_back({clip(box[0], networkInfo.width), clip(box[1], networkInfo.height),
                             clip(box[2], networkInfo.width), clip(box[3], networkInfo.height), score,
                             static_cast<unsigned int>(label)});
        }
    std::stable_sort(found.begin(), found.end(),
                     [](Candidate const &a, Candidate const &b) { return a.score > b.score; });
    found.resize(std::min<std::size_t>(found.size(), VISIONMILL_TOP_K));

    std::vector<Candidate> kept;
    for (Candidate const &box : found) {
        if (kept.size() >= VISIONMILL_MAX_DETECTIONS) break;
        bool free = std::none_of(kept.begin(), kept.end(), [&](Candidate const &better) {
            return better.label == box.label && overlaps(better, box);
        });
        if (free) kept.push_back(box);
    }
    for (Candidate const &box : kept) {
        NvDsInferObjectDetectionInfo object = {};
        object.classId = box.label;
        object.left = box.x0;
        object.top = box.y0;
        object.width = box.x1 - box.x0;
        object.height = box.y1 - box.y0;
        object.detectionConfidence = box.score;
        objectList.push_back(object);
    }
    return true;
}

CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(NvDsInferParseVisionmill);
