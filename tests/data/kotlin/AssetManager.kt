package android.content.res

import java.io.File
import java.io.InputStream

/** Stands for Android's: assets are files below a folder. */
class AssetManager(private val folder: File) {
    fun open(name: String): InputStream = File(folder, name).inputStream()
}
