package com.google.ai.edge.litert

import android.content.res.AssetManager
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Stand for LiteRT's classes for Android, with the members that Restorer uses and their signatures. */
enum class Accelerator { NONE, CPU, GPU, NPU }

class TensorBuffer internal constructor() : AutoCloseable {
    internal var floats = FloatArray(0)
    internal var bytes = ByteArray(0)
    internal var ints = IntArray(0)
    internal var open = true

    fun writeFloat(data: FloatArray) {
        check(open)
        floats = data.copyOf()
    }

    fun writeInt8(data: ByteArray) {
        check(open)
        bytes = data.copyOf()
    }

    fun writeInt(data: IntArray) {
        check(open)
        ints = data.copyOf()
    }

    fun readFloat(): FloatArray = floats.copyOf()

    fun readInt8(): ByteArray = bytes.copyOf()

    override fun close() {
        open = false
    }
}

/**
 * A model whose graphs give their last input back, or, where the system property "output" names a file, that file's
 * values. With the property "shade" it darkens each value by its place in the frame.
 */
class CompiledModel private constructor(val options: Options) : AutoCloseable {
    data class CpuOptions(
        val numThreads: Int? = null,
        val xnnPackFlags: Int? = null,
        val xnnPackWeightCachePath: String? = null,
    )

    class Options(vararg val accelerators: Accelerator) {
        var cpuOptions: CpuOptions? = null
    }

    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = listOf(TensorBuffer())

    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = listOf(TensorBuffer())

    fun createOutputBuffers(signature: String): List<TensorBuffer> = listOf(createOutputBuffer("restored", signature))

    fun createInputBuffer(inputName: String, signature: String? = null): TensorBuffer {
        check(inputName.isNotEmpty() && signature != null)
        return TensorBuffer()
    }

    fun createOutputBuffer(outputName: String, signature: String? = null): TensorBuffer =
        createInputBuffer(outputName, signature)

    /** What has been run: the signature, and the numbers in the first input. */
    val runs = mutableListOf<Pair<String, List<Int>>>()

    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signature: String) {
        runs += signature to inputs[0].ints.toList()
        run(listOf(inputs.last()), outputs)
    }

    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0) {
        val recorded = System.getProperty("output")?.let { File(it).readBytes() }
        if (System.getProperty("shade") != null) {
            outputs[0].writeFloat(FloatArray(inputs[0].floats.size) { inputs[0].floats[it] * (it % 97 / 96f) })
            outputs[0].writeInt8(ByteArray(inputs[0].bytes.size) { ((inputs[0].bytes[it].toInt() and 0xff) * (it % 97) / 96).toByte() })
        } else if (recorded == null) {
            outputs[0].writeFloat(inputs[0].floats)
            outputs[0].writeInt8(inputs[0].bytes)
        } else {
            val values = ByteBuffer.wrap(recorded).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
            outputs[0].writeFloat(FloatArray(values.remaining()).also { values.get(it) })
            outputs[0].writeInt8(recorded)
        }
    }

    override fun close() {}

    companion object {
        @JvmStatic
        var last: CompiledModel? = null

        @JvmStatic
        fun create(assetManager: AssetManager, assetName: String, options: Options): CompiledModel {
            check(assetManager.open(assetName).use { it.readBytes() }.isNotEmpty())
            return CompiledModel(options).also { last = it }
        }
    }
}
